"""A build: makes the environment of a commit, shared by all launches that need it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from ..backends.base import AnyBackend, Attempt, BuildResult, ResolvedSpec
from ..core.log.reader import Normalizer
from ..core.log.reasons import RULES, RuleSet, failure
from ..core.log.steps import Step
from ..core.phases import Phase
from ..core.timing.estimator import Estimator
from ..core.timing.priors import Expectation
from ..errors import LaunchFailedError, StorageError
from .build_log import BuildLog
from .channel import Channels
from .event_writer import Clock, Limits, Writer

__all__ = ["FIRST", "Build"]

FIRST = 2
"""The number of a build's first event.

Number 1 is the launch's own event. The build's events have the same numbers in all launches, which
therefore share their bytes.
"""

_TURN = 0.003
"""Seconds after which a build that prints without a pause lets other tasks run."""


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
    grew : callable, optional
        Called after each record, to make room in memory.
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
        grew: Callable[[], None] = lambda: None,
    ) -> None:
        self.resolved = resolved
        self.channel = channels.make(first=FIRST)
        self.channel.on_failure = self._stop
        self.channel.open()
        self.full_log = full_log
        self.users = 0
        """The number of launches that wait for it."""
        self.readers = 0
        """The number of launches whose stream contains it."""
        self._backend = backend
        self._timeout = timeout
        self._log = log
        self._grew = grew
        began = clock.monotonic()
        self.writer = Writer(
            self.channel,
            clock=clock,
            began=began,
            began_utc=clock.utc(),
            estimator=Estimator(now=began, expectation=expectation),
            limits=limits,
            rules=rules,
            phase=Phase.WAITING,
        )
        self.task = asyncio.create_task(self._run(), name=f"build {resolved.key}")

    async def result(self) -> BuildResult:
        """Wait for its end.

        Raises
        ------
        LaunchFailedError
            If it failed. Its channel ends with the same failure.
        """
        # Shielded: cancelling one launch does not cancel the build of others.
        return await asyncio.shield(self.task)

    def release(self) -> None:
        """Cancel it, or release its result: no launch waits for it."""
        if not self.task.done():
            self.task.cancel()
        elif not self.task.cancelled() and self.task.exception() is None:
            self.task.result().abandon()

    def forget(self) -> None:
        """Free its memory and disk space, once it has ended."""
        if self.task.done():
            self.channel.discard()
            self.full_log.delete()
        else:
            # It was cancelled, and is still ending its processes.
            self.task.add_done_callback(lambda _: self.forget())

    def _stop(self) -> None:
        """Stop a build whose events cannot be stored. One that has ended waits for them itself."""
        if not self.channel.ended:
            self.task.cancel()

    async def _run(self) -> BuildResult:
        try:
            result = await self._end()
            try:
                # Launches go on in their own channels, whose numbers follow the last one here.
                await self.channel.flush()
            except BaseException:
                result.abandon()
                raise
            return result
        except StorageError as error:
            raise failure("store-failed") from error
        except asyncio.CancelledError:
            # By `_stop`, or the last launch left, or the server stops.
            self.channel.end()
            if self.channel.failure is not None:
                raise failure("store-failed") from self.channel.failure
            raise
        finally:
            self.full_log.close()

    async def _end(self) -> BuildResult:
        """Build, and write the last event."""
        try:
            async with asyncio.timeout(self._timeout):
                built = await self._build()
        except TimeoutError:
            error = failure(
                "build-timeout", f"The build took longer than {self._timeout:g} seconds."
            )
        except LaunchFailedError as known:
            error = known
        except Exception:  # noqa: BLE001 - the log has it; viewers must see an end
            self._log.exception("Build of %s failed", self.resolved.key)
            error = failure("internal")
        else:
            message = "Found" if built.found else "Built"
            self.writer.end(Phase.BUILT, f"{message} the environment.\n", imageName=built.image)
            return built
        await self.writer.fail(error)
        await self.channel.flush()
        raise error

    async def _build(self) -> BuildResult:
        normalizer = Normalizer()
        loop = asyncio.get_running_loop()
        turn = loop.time() + _TURN
        self.writer.append(Phase.WAITING, step=Step("looking", "Checking for a cached environment"))
        async with aclosing(self._backend.build(self.resolved)) as items:
            async for item in items:
                if isinstance(item, BuildResult):
                    return item
                if isinstance(item, Attempt):
                    self.full_log.write(self.writer.try_again(item).event.message)
                    continue
                note = normalizer.read(item)
                if note is not None:
                    self.full_log.write(note.message)
                    self.writer.write(note, log=self._log)
                    self._grew()
                # Buffered lines are read without suspending, thousands at a time.
                if loop.time() > turn:
                    await asyncio.sleep(0)
                    turn = loop.time() + _TURN
        raise failure("internal", "The build ended without a result.")
