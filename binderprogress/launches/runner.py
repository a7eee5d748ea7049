"""Runs one launch: resolve, build, start a server, and clean up after a failure."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Any

import msgspec

from ..backends.base import (
    TRACE,
    AnyBackend,
    Attempt,
    BuildResult,
    KeyMaker,
    LaunchRequest,
    ResolvedSpec,
    RunningServer,
)
from ..core.log.reader import Normalizer
from ..core.log.reasons import failure
from ..core.log.steps import STANDBY, Step
from ..core.phases import Phase
from ..errors import (
    BuiltElsewhereError,
    LaunchFailedError,
    LeaseLostError,
    RefusedError,
    StorageError,
)
from .history_entry import address_of, image_bytes
from .launch import Launch
from .learner import Learner
from .ledger import Ledger
from .look_up import LookUp
from .preparation import Preparation
from .pull_watch import PullWatch
from .ready_event import launch_request, ready_fields, server_plan
from .server_cleanups import ServerCleanups
from .shared_builds import SharedBuilds
from .standby_pool import StandbyPool
from .stuck_spawn import StuckSpawn
from .turns import MOST_AT_ONCE, Turns

__all__ = ["LaunchRunner", "Timeouts"]

_WORTH_SAYING = 1.0
"""Seconds that have to be saved until the log says so."""


class Timeouts(msgspec.Struct, frozen=True):
    """Timeouts of a launch, in seconds.

    Attributes
    ----------
    launch : float
        Of starting the server, with all attempts.
    stuck : float
        Until viewers are told that a server cannot start.
    cleanup : float
        Of stopping the server of a launch that failed or was cancelled.
    """

    launch: float
    stuck: float
    cleanup: float


class LaunchRunner:
    """Takes launches from their start to their end.

    Parameters
    ----------
    backend : Backend
    builds : SharedBuilds
    ledger : Ledger
    learner : Learner
    timeouts : Timeouts
    grew : callable
        Called after each record, to make room in memory.
    log : logging.Logger
    """

    def __init__(
        self,
        backend: AnyBackend,
        *,
        builds: SharedBuilds,
        ledger: Ledger,
        learner: Learner,
        timeouts: Timeouts,
        grew: Callable[[], None],
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._backend = backend
        self._keys = backend if isinstance(backend, KeyMaker) else None
        self._builds = builds
        self._ledger = ledger
        self._learner = learner
        self._timeouts = timeouts
        self._grew = grew
        self._log = log
        self.cleanups = ServerCleanups(backend, ledger=ledger, timeout=timeouts.cleanup, log=log)
        self.standby = StandbyPool(ledger, self.cleanups, log=log)
        """The servers that stand ready."""
        self._turns = Turns(MOST_AT_ONCE)
        """Of launches that ask for a server that they have asked for before a restart."""
        self.is_handing_over = False
        """Whether this process ends, and a successor goes on with the launches."""

    def look_up(self, launch: Launch) -> LookUp:
        """Begin to look up the commit of a launch that may not be stored yet."""
        launch.look_up = LookUp(self._resolve(launch), seconds=lambda: launch.seconds)
        return launch.look_up

    async def run(self, launch: Launch) -> None:
        """Run a launch to its end, from where its events end. Errors become its last event."""
        # If tracing is off, forward the caller's traceparent.
        TRACE.set(launch.span or launch.caller.parent)
        preparation = Preparation(self._backend, launch, log=self._log)
        try:
            if launch.is_lost or self.is_handing_over:
                return
            if launch.ended:
                # After a restart. Its server, if it has one, is cleaned up below.
                if launch.build is not None and launch.ends_with_build:
                    await launch.build.result()
                return
            request = launch.request or await self._request(launch, preparation)
            if request is None:
                return
            if launch.build is None and launch.tail().phase is Phase.WAITING:
                launch.tail().append(
                    Phase.BUILT, f"{STANDBY.label}.\n", STANDBY, imageName=request.image
                )
            served = launch.served
            if served is None:
                async with asyncio.timeout(self._timeouts.launch):
                    served = launch.served = await self._spawn(launch, request)
            launch.tail().end(
                Phase.READY,
                f"server running at {served.url}\n",
                **ready_fields(launch, request.resolved, request.result, served),
            )
            # A server whose address is lost is stopped.
            await launch.flush()
        except LaunchFailedError as error:
            await self._fail(launch, error)
        except BuiltElsewhereError as error:
            await self._leave(launch, error.owner)
        except LeaseLostError:
            # Its own lease, or that of its build, whose last events are not stored.
            await self._leave(launch, "")
        except RefusedError as error:
            await self._fail(launch, failure("refused", str(error)))
        except StorageError as error:
            # Often, the failure of a channel has ended the launch already.
            self._log.warning("%r cannot be stored: %s", launch, error)
            await self._fail(launch, failure("store-failed"))
        except TimeoutError:
            message = f"The server did not start within {self._timeouts.launch:g} seconds."
            await self._fail(launch, failure("start-timeout", message))
        except asyncio.CancelledError:
            self._note_cancelled(launch)
        except Exception:  # noqa: BLE001 - whatever a backend raises; viewers must see an end
            self._log.exception("%r failed", launch)
            await self._fail(launch, failure("internal"))
        finally:
            if launch.look_up is not None:
                launch.look_up.cancel()
                launch.look_up = None
            self._builds.release(launch)
            await preparation.close()
            await self._clean_up(launch)

    async def _clean_up(self, launch: Launch) -> None:
        if not self.is_handing_over and (launch.is_lost or not launch.is_ready):
            try:
                await self.cleanups.stop(launch)
            except asyncio.CancelledError:
                if not self.is_handing_over:
                    raise
        if self.is_handing_over:
            await self.cleanups.leave(launch)

    def _note_cancelled(self, launch: Launch) -> None:
        # If it was cancelled, its last event was written before its task was.
        what = "is handed over" if self.is_handing_over else "was cancelled"
        self._log.info("%r %s", launch, what)

    async def _request(
        self, launch: Launch, preparation: Preparation
    ) -> LaunchRequest[Any, Any] | None:
        """Build, and return the request to the launcher; None if no server is wanted."""
        if launch.build is None:
            resolved = await self._look_up(launch)
            if await self._take_standby(launch, resolved):
                return launch.request
            await self._learner.look_up(address_of(launch.spec))
        else:
            resolved = launch.build.resolved
        try:
            built = launch.built = await self._build(launch, resolved, preparation)
        finally:
            preparation.end()
        if resolved.build_only or launch.caller.build_only:
            message = "Done! Found built image\n" if built.found else "Done! Image built\n"
            launch.tail().end(Phase.READY, message, imageName=built.image)
            return None
        key = launch.plan.key if launch.plan is not None else self._new_key(resolved)
        launch.request = launch_request(launch.spec, launch.caller, resolved, built, key=key)
        # Before it is asked for: a successor can find the server by these names, or stop it.
        await self._ledger.save(launch)
        return launch.request

    async def _take_standby(self, launch: Launch, resolved: ResolvedSpec) -> bool:
        """Give a server that stands ready to a launch, if there is one, and it wants one."""
        if resolved.build_only or launch.caller.build_only:
            return False
        launch.served = await self.standby.take(launch, resolved)
        if launch.served is None or launch.request is None:
            return False
        launch.built = launch.request.result
        return True

    async def _look_up(self, launch: Launch) -> ResolvedSpec:
        if launch.look_up is None:
            resolved = await self._resolve(launch)
        else:
            resolved = await launch.look_up.result()
            launch.ahead.append(launch.look_up.ahead())
        # Not again, if it was looked up by another server before.
        if resolved.notice and launch.last.message != f"{resolved.notice}\n":
            launch.notice(resolved.notice)
        return resolved

    async def _resolve(self, launch: Launch) -> ResolvedSpec:
        TRACE.set(launch.span or launch.caller.parent)
        resolved: ResolvedSpec = await self._backend.resolve(launch.spec)
        return resolved

    async def _build(
        self, launch: Launch, resolved: ResolvedSpec, preparation: Preparation
    ) -> BuildResult:
        """Wait for the build of a launch, and have its server prepared meanwhile."""
        if launch.build is not None:
            preparation.begin(launch.build)
            return await launch.build.result()
        wants_server = not (resolved.build_only or launch.caller.build_only)
        if preparation.is_possible and wants_server and launch.plan is None:
            key = self._new_key(resolved)
            launch.plan = server_plan(launch.spec, launch.caller, resolved, key=key)
        return await self._builds.build(launch, resolved, begun=preparation.begin)

    def _new_key(self, resolved: ResolvedSpec) -> str:
        return self._keys.new_key(resolved) if self._keys is not None else secrets.token_hex(4)

    async def _spawn(self, launch: Launch, request: LaunchRequest[Any, Any]) -> RunningServer:
        writer = launch.tail()
        normalizer = Normalizer()
        repeated = await self._ledger.ask(launch.messages_of_attempt)
        if writer.phase is not Phase.LAUNCHING:
            writer.append(
                Phase.LAUNCHING, "Launching server...\n", Step("requested", "Requesting a server")
            )
        attempt = max(request.attempt, writer.own_attempt)
        request = msgspec.structs.replace(request, attempt=attempt)
        async with AsyncExitStack() as resources:
            turn = None
            if request.resumed:
                turn = await resources.enter_async_context(self._turns.take())
            stuck = resources.enter_context(
                StuckSpawn(writer.rules, patience=self._timeouts.stuck, report=writer.show_problem)
            )
            pull = resources.enter_context(
                PullWatch(
                    self._backend,
                    request.image,
                    writer=writer,
                    learner=self._learner,
                    log=self._log,
                )
            )
            items = await resources.enter_async_context(aclosing(self._backend.launch(request)))
            is_told = request.resumed
            async for item in items:
                if not is_told:
                    is_told = True
                    _tell_saved(launch)
                if turn is not None:
                    # JupyterHub has answered.
                    turn.end()
                if isinstance(item, RunningServer):
                    return item
                if isinstance(item, Attempt):
                    stuck.restart()
                    repeated.clear()
                    writer.try_again(item)
                    continue
                note = normalizer.read(item)
                if note is not None:
                    if repeated[note.message] > 0:
                        # After a restart, JupyterHub sends its events again.
                        repeated[note.message] -= 1
                        stuck.read(note)
                        continue
                    # Before the note's event, which tells that a problem was overcome.
                    stuck.read(note)
                    writer.write(pull.read(note), log=self._log)
                    launch.image_bytes = launch.image_bytes or image_bytes(note.message)
                    self._grew()
        raise failure("internal", "The launcher ended without a result.")

    async def _leave(self, launch: Launch, replica: str) -> None:
        """Stop running a launch, because another replica runs its build or the launch itself."""
        try:
            # What its build has not stored is not needed: the next owner goes on before that.
            with suppress(LeaseLostError):
                await launch.flush()
            # Once: this replica may be about to take it up again.
            launch.is_lost = launch.is_lost or await self._ledger.give(launch.lease, replica)
            if launch.is_lost:
                self._log.info("%r is run by another replica now", launch)
                return
        except StorageError as problem:
            self._log.warning("%r cannot be given to another replica: %s", launch, problem)
        await self._fail(launch, failure("store-failed"))

    async def _fail(self, launch: Launch, error: LaunchFailedError) -> None:
        # A failed build ends with this event in its own channel, once for all its launches.
        if not launch.ended:
            try:
                await launch.tail().fail(error, log=self._log)
            except asyncio.CancelledError:
                self._note_cancelled(launch)
                return
        self._log.warning("%r: %s", launch, launch.last.message.strip())


def _tell_saved(launch: Launch) -> None:
    """Say in the log what was done during the build, if users notice that."""
    for done in launch.ahead:
        if done.saved >= _WORTH_SAYING:
            text = f"{done.label} during the build ({done.saved:.0f} s saved).\n"
            launch.tail().append(Phase.LAUNCHING, text)
