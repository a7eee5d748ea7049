"""A build: makes the environment of a commit, shared by all launches that need it."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from ..backends.base import AnyBackend, Attempt, BuildResult, ResolvedSpec
from ..core.binderhub.replay import Repeats
from ..core.events import Earlier, Event
from ..core.log.reasons import RULES, RuleSet, failure
from ..core.log.steps import Step
from ..core.phases import TERMINAL, Phase
from ..core.timing.build_seconds import build_seconds
from ..core.timing.estimator import Estimator
from ..core.timing.priors import Expectation
from ..errors import BuiltElsewhereError, LaunchFailedError, LeaseLostError, StorageError
from .build_lease import BuildLease
from .build_log import BuildLog
from .build_queue import BuildQueue
from .build_work import BuildWork
from .channel import Channel
from .channel_factory import Channels
from .event_writer import Clock, Limits, Writer
from .leaving import Leaver, Leaving
from .ledger import AnyCodec, Ledger
from .stored import StoredBuild, build_lease, encode

__all__ = ["FIRST", "Build"]

FIRST = 2
"""The number of a build's first event. Number 1 is the launch's own event.

So the build's events have the same numbers in all launches, which share their bytes.
"""

_ENDS = TERMINAL | {Phase.BUILT}

_MOST_STARTS = 2
"""How often a build is started. Attack: one that ends the server with it."""


class Build:
    """One build.

    Parameters
    ----------
    resolved : ResolvedSpec
    backend : Backend
    expectation : Expectation
        What its estimates start from.
    clock : Clock
    limits : Limits
    rules : RuleSet
    timeout : float
        Seconds.
    full_log : BuildLog
        The file with the full log.
    log : logging.Logger
        The operator's.
    channels : Channels
        Where its events are stored.
    ledger : Ledger, optional
        Where it is stored.
    keep : float
        Seconds for which its log is kept after its end.
    queue : BuildQueue, optional
        Where it waits while too many others run. None: it does not.
    owner : str
        The user or client whose turn in the queue it takes.
    earlier : callable, optional
        Return an earlier version to offer while it runs.
    grew : callable, optional
        Called after each record, to make room in memory.
    build_id : str, optional
        Of a build that is restored; see `restore`.
    """

    def __init__(
        self,
        resolved: ResolvedSpec,
        backend: AnyBackend,
        *,
        expectation: Expectation,
        clock: Clock,
        limits: Limits,
        rules: RuleSet = RULES,
        timeout: float,
        full_log: BuildLog,
        log: logging.Logger | logging.LoggerAdapter[Any],
        channels: Channels,
        ledger: Ledger | None = None,
        keep: float = 0.0,
        queue: BuildQueue | None = None,
        owner: str = "",
        earlier: Callable[[], Awaitable[Earlier | None]] | None = None,
        grew: Callable[[], None] = lambda: None,
        build_id: str = "",
    ) -> None:
        self.id = build_id or secrets.token_urlsafe(18)
        """Unguessable. Whoever knows it can read its log."""
        self.resolved = resolved
        self.full_log = full_log
        self.users = 0
        """The number of launches that wait for it."""
        self.readers = 0
        """The number of launches whose stream contains it."""
        self.starts = 1
        """How often it was started: again after a restart of the server."""
        self.built: BuildResult | None = None
        """Its result."""
        self.building = asyncio.Event()
        """Set when it begins to build: nothing could be reused, and its turn has come."""
        self.is_over = False
        """Whether it is stored that it has ended."""
        self.is_interrupted = False
        """Whether this process ends, and a successor goes on with it."""
        self.is_lost = False
        """Whether another replica has taken it."""
        self._leaving = Leaving()
        self._backend = backend
        self._timeout = timeout
        self._log = log
        self._grew = grew
        self._clock = clock
        self._limits = limits
        self._rules = rules
        self._expectation = expectation
        self._keep = keep
        self._ledger = ledger or Ledger(None, None, patience=0.0, log=log)
        self._queue = BuildQueue(self._ledger, most=0) if queue is None else queue
        self._owners = [owner]
        self._earlier = earlier
        self.ownership = BuildLease(self, resolved.key, self._ledger)
        """Keeps other replicas from building the same."""
        self._repeats: Repeats | None = None
        """Recognises what a build that went on without us repeats; None: nothing."""
        channel = channels.make(self.lease, first=FIRST, lease=self.lease)
        self.use_channel(channel, began=clock.monotonic())
        self.task: asyncio.Future[BuildResult]

    def use_channel(self, channel: Channel, *, began: float) -> None:
        """Write its events to a channel. `began` is in monotonic seconds."""
        self.channel = channel
        channel.on_failure = self._stop
        self.writer = Writer(
            channel,
            clock=self._clock,
            began=began,
            began_utc=self._clock.utc() - (self._clock.monotonic() - began),
            estimator=Estimator(now=began, expectation=self._expectation),
            limits=self._limits,
            rules=self._rules,
            phase=Phase.WAITING,
        )

    @property
    def lease(self) -> str:
        """The name of its lease, and of its channel."""
        return build_lease(self.id)

    def stored(self, codec: AnyCodec, *, ended: bool = False) -> bytes:
        """Return the state for its lease."""
        stored = StoredBuild(
            resolved=codec.encode(self.resolved),
            began=self.writer.began_utc,
            starts=self.starts,
            result=codec.encode(self.built) if self.built is not None else b"",
            changes=self.writer.changes if ended else [],
        )
        return encode(stored)

    def start(self, after: asyncio.Future[BuildResult] | None = None) -> None:
        """Start it.

        Parameters
        ----------
        after : Future, optional
            A build of the same key that was cancelled and is ending.
        """
        self.task = asyncio.create_task(self._run(after), name=f"build {self.resolved.key}")

    async def restore(self, stored: StoredBuild, channel: Channel) -> None:
        """Take over its events so far, and its result.

        Raises
        ------
        StorageError
            If they cannot be read.
        """
        self.starts = stored.starts
        began = self._clock.monotonic() - max(self._clock.utc() - stored.began, 0.0)
        newest = channel.newest
        if newest is not None:
            # The clock may have been set back meanwhile.
            began = min(began, self._clock.monotonic() - newest.event.elapsed)
        self.use_channel(channel, began=began)
        self.writer.began_utc = stored.began
        end = self._end_message
        if stored.changes:
            self.full_log.restore(end=end)
            self.writer.restore(stored.changes, newest.event if newest is not None else None)
            return
        repeats = Repeats()
        messages: list[str] = []

        def remember(event: Event) -> None:
            if event.phase not in _ENDS:
                messages.append(event.message)
            repeats.has(event.message, status=event.phase is Phase.WAITING)

        await self.writer.replay_all(remember)
        self.full_log.restore(messages, end=end)
        if self._backend.profile.builds_go_on and not channel.closed:
            repeats.begin()
            self._repeats = repeats

    @property
    def may_be_revived(self) -> bool:
        """Whether it was ended without an end of its own, and can go on."""
        phase = self.writer.phase
        return self.built is None and phase not in _ENDS and not self.channel.closed

    def go_on(self, *, is_over: bool = False) -> None:
        """Go on with a build that was restored, or with its result if it is over or closed."""
        self.ownership.own()
        self.is_over = is_over
        if not (self.channel.closed or is_over):
            self.task = asyncio.create_task(self._resume(), name=f"build {self.resolved.key}")
            return
        self.task = asyncio.get_running_loop().create_future()
        if self.built is not None and self.writer.phase is Phase.BUILT:
            self.task.set_result(self.built)
        else:
            self.task.set_exception(
                failure("build-failed" if self.writer.phase in TERMINAL else "server-restarted")
            )
            # Its launches need not ask.
            self.task.exception()

    def follow(self, stored: StoredBuild) -> None:
        """Become one that another replica runs. Its channel shows what that has stored."""
        self.starts = stored.starts
        now = self._clock.monotonic()
        self.use_channel(self.channel, began=now - max(self._clock.utc() - stored.began, 0.0))
        self.writer.began_utc = stored.began
        self.task = asyncio.get_running_loop().create_future()
        self.task.cancel()

    async def result(self) -> BuildResult:
        """Wait for its end.

        Raises
        ------
        LaunchFailedError
            If it failed. Its channel ends with the same failure.
        BuiltElsewhereError
            If another replica runs it.
        """
        # Shielded: cancelling one launch does not cancel the build of others.
        return await asyncio.shield(self.task)

    def leave(self, launch: Leaver) -> None:
        """Note that a launch has left that waited for it."""
        if not self.task.done():
            self._leaving.add(launch)

    def release(self) -> None:
        """Cancel it, or release its result: no launch waits for it."""
        # After its first step: it would never run, nor end the lease of a restored build.
        asyncio.get_running_loop().call_soon(self._release)

    def _release(self) -> None:
        is_done = not self.task.cancel()
        if is_done and not self.task.cancelled() and self.task.exception() is None:
            self.task.result().abandon()

    def forget(self) -> None:
        """Free its memory, once it has ended. Delete its log, unless that is kept longer."""
        if not self.task.done():
            # It was cancelled, and is still ending its processes.
            self.task.add_done_callback(lambda _: self.forget())
        elif self._ledger.store is not None:
            self.let_go()
        else:
            self.channel.discard()
            self.full_log.delete()

    def let_go(self) -> None:
        """Free its memory. No launch needs it."""
        self.channel.discard()
        self.full_log.release()

    async def forsake(self) -> None:
        """Stop it, and store nothing more of it: this replica is about to take it back."""
        self.is_lost = True
        self.channel.forsake()
        self.task.cancel()
        await asyncio.wait([self.task])

    def _stop(self) -> None:
        """Stop a build whose events cannot be stored. One that has ended waits for them itself."""
        if not self.channel.ended:
            self.task.cancel()

    async def _run(self, after: asyncio.Future[BuildResult] | None) -> BuildResult:
        if after is not None and self._ledger.store is not None:
            await asyncio.wait([after])
        return await self._complete(self._begin)

    async def _begin(self) -> BuildResult:
        await self.ownership.begin()
        self.channel.open()
        return await self._end()

    async def _resume(self) -> BuildResult:
        self.channel.open()
        return await self._complete(self._again)

    async def _again(self) -> BuildResult:
        """Go on after a restart: with what is known of the end, or with another start."""
        phase = self.writer.phase
        if self.built is not None:
            if phase is not Phase.BUILT:
                self._write_end(self.built)
            else:
                self.channel.end()
            return self.built
        if phase in TERMINAL:
            self.channel.end()
            await self.channel.flush()
            raise failure("build-failed")
        is_queued = self.writer.step.is_place
        if not (is_queued or self._backend.profile.builds_go_on):
            if self.starts >= _MOST_STARTS:
                error = failure("server-restarted")
                await self.writer.fail(error, log=self._log)
                await self.channel.flush()
                raise error
            self.starts += 1
            await self._ledger.save(self)
            attempt = Attempt(
                self.writer.attempt + 1,
                "The server was restarted during the build.",
                Step("restarted", "Starting the build again"),
            )
            self.full_log.write(self.writer.try_again(attempt).event.message)
        return await self._end()

    async def _complete(self, work: Callable[[], Any]) -> BuildResult:
        """Do the work, and end the lease."""
        try:
            result: BuildResult = await work()
            try:
                # Launches go on in their own channels, whose numbers follow the last one here.
                await self.channel.flush()
                await self.end_lease()
            except BaseException:
                result.abandon()
                raise
            return result
        except LaunchFailedError:
            await self.end_lease()
            raise
        except StorageError as error:
            # It fails already.
            self.channel.on_failure = lambda: None
            await self.end_lease()
            raise await self.ownership.loss(error) from error
        except asyncio.CancelledError:
            if self.is_lost:
                raise BuiltElsewhereError("") from None
            if self.is_interrupted:
                raise
            # By `_stop`, or the last launch left, or the server stops.
            await self._leaving.stored()
            self.channel.end()
            await self.end_lease()
            if self.channel.failure is not None:
                raise await self.ownership.loss(self.channel.failure) from self.channel.failure
            await self.ownership.cancel(self._backend, self.resolved, self._log)
            raise
        finally:
            self._queue.leave(self.lease)
            self.full_log.close()

    async def end_lease(self) -> None:
        """Store that it has ended, and when its log may be deleted."""
        if self._ledger.store and not isinstance(self.channel.failure, LeaseLostError):
            # Before: nobody completes the log of a build that has ended. Another replica may go on.
            key = self.resolved.key if self.built and not self.built.found else ""
            self.full_log.finish(self._end_message, key=key)
        await self._ledger.end(self, expires=self._clock.utc() + self._keep)

    @property
    def _end_message(self) -> str:
        """The end of its log."""
        newest = self.channel.newest
        if newest is not None and (event := newest.event).phase in _ENDS:
            return event.message
        return "[The build was stopped here.]\n"

    async def _end(self) -> BuildResult:
        """Build, and write the last event."""
        try:
            async with asyncio.timeout(self._timeout) as deadline:
                # In a task, or each line would resume every coroutine up to here.
                work = self._work().run(deadline, self._timeout)
                built = await asyncio.create_task(work, name=f"lines of {self.id}")
        except TimeoutError:
            late = f"The build took longer than {self._timeout:g} seconds."
            error = failure("build-timeout", late)
        except LaunchFailedError as known:
            error = known
        except StorageError:
            raise
        except Exception:  # noqa: BLE001 - the log has it; viewers must see an end
            self._log.exception("Build of %s failed", self.resolved.key)
            error = failure("internal")
        else:
            self.built = built
            try:
                # Before the event: whoever sees that can go on with the result.
                await self._ledger.save(self)
            except BaseException:
                built.abandon()
                raise
            self._write_end(built)
            return built
        await self.writer.fail(error, log=self._log)
        await self.channel.flush()
        raise error

    def _write_end(self, built: BuildResult) -> None:
        message = f"{'Found' if built.found else 'Built'} the environment.\n"
        self.writer.end(Phase.BUILT, message, imageName=built.image)

    def _work(self) -> BuildWork:
        build_id = "" if self._ledger.store is None else self.id
        seconds = build_seconds(self._expectation)
        return BuildWork(
            self._backend,
            self.resolved,
            writer=self.writer,
            full_log=self.full_log,
            queued=lambda: self._queue.places(self.lease, owners=self._owners, seconds=seconds),
            begins=build_id if self.channel.written < FIRST else None,
            repeats=self._repeats,
            earlier=self._earlier,
            grew=self._grew,
            building=self.building,
            log=self._log,
        )

    async def join(self, owner: str) -> None:
        """Let it take the turns of one more user or client in the queue, too."""
        if owner not in self._owners:
            self._owners.append(owner)
            if self.writer.step.is_place:
                await self._queue.join(self.lease, owner=owner)
