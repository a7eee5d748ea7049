"""What a build does until its end: looks for its result, waits for its turn, and builds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from ..backends.base import AnyBackend, Attempt, BuildResult, ResolvedSpec, WaitForTurn
from ..core.binderhub.replay import Repeats
from ..core.build_queue import Place, place_message, place_step
from ..core.events import Earlier
from ..core.log.reader import Normalizer, Note
from ..core.log.reasons import failure
from ..core.log.steps import Step
from ..core.phases import Phase
from .build_log import BuildLog
from .earlier_version import earlier_message
from .event_writer import Writer

__all__ = ["BuildWork"]

_TURN = 0.003
"""Seconds after which a build that prints without a pause lets other tasks run."""

_UNTIMED = 16 * 1024
"""Characters of lines between two looks at the clock. Each line counts as `_LINE` more."""

_LINE = 256

_LOOKING = Step("looking", "Checking for a cached environment")


class BuildWork:
    """The work of one build.

    Parameters
    ----------
    backend : Backend
    resolved : ResolvedSpec
    writer : Writer
        Of its events.
    full_log : BuildLog
    queued : callable
        Yields its places in the queue, until it may begin.
    begins : str or None
        The id of its log, if it begins now; None: it began earlier.
    repeats : Repeats or None
        Recognises what a build that went on without us repeats; None: nothing.
    earlier : callable or None
        Return an earlier version to offer; None: nothing is offered.
    grew : callable
        Called after each record, to make room in memory.
    building : asyncio.Event
        Set when the build begins: nothing could be reused, and its turn has come.
    log : logging.Logger
    """

    def __init__(
        self,
        backend: AnyBackend,
        resolved: ResolvedSpec,
        *,
        writer: Writer,
        full_log: BuildLog,
        queued: Callable[[], AsyncGenerator[Place, None]],
        begins: str | None,
        repeats: Repeats | None,
        earlier: Callable[[], Awaitable[Earlier | None]] | None,
        grew: Callable[[], None],
        building: asyncio.Event,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._backend = backend
        self._resolved = resolved
        self._writer = writer
        self._full_log = full_log
        self._queued = queued
        self._begins = begins
        self._repeats = repeats
        self._earlier = earlier
        self._grew = grew
        self._building = building
        self._log = log
        self._offer: asyncio.Task[None] | None = None

    async def run(self, deadline: asyncio.Timeout, seconds: float) -> BuildResult:
        """Do it.

        Parameters
        ----------
        deadline : asyncio.Timeout
            It has no end while the build waits in the queue.
        seconds : float
            Until the deadline, from when the build begins.

        Raises
        ------
        LaunchFailedError
            If the build fails.
        StorageError
            If the queue cannot be read.
        """
        if self._begins is not None:
            self._writer.append(Phase.WAITING, step=_LOOKING, build_id=self._begins)
        try:
            return await self._build(deadline, seconds)
        finally:
            if self._offer is not None:
                self._offer.cancel()
                await asyncio.gather(self._offer, return_exceptions=True)

    async def _wait_for_turn(self, deadline: asyncio.Timeout, seconds: float) -> None:
        writer = self._writer
        deadline.reschedule(None)
        async with aclosing(self._queued()) as places:
            async for place in places:
                step = place_step(place.position)
                # After a restart, it may have the same place.
                if step != writer.step:
                    writer.estimator.queue_time = place.seconds
                    self._append(place_message(place), step)
        if writer.step.is_place:
            # Another server may have built it meanwhile.
            self._append("It is the turn of this build.\n", _LOOKING)
        deadline.reschedule(asyncio.get_running_loop().time() + seconds)

    async def _offer_earlier(self, find: Callable[[], Awaitable[Earlier | None]]) -> None:
        """Offer an earlier version, while the build goes on."""
        try:
            earlier = await find()
        except Exception as error:  # noqa: BLE001 - whatever a backend raises: it is only an offer
            self._log.warning("No earlier version can be offered: %s", error)
            return
        if earlier is None:
            return
        message = earlier_message(earlier)
        self._full_log.write(message)
        self._writer.append(self._writer.phase or Phase.WAITING, message, earlier=earlier)

    def _append(self, message: str, step: Step) -> None:
        self._full_log.write(message)
        self._writer.append(self._writer.phase or Phase.WAITING, message, step)

    async def _build(self, deadline: asyncio.Timeout, seconds: float) -> BuildResult:
        read, time = Normalizer().read, asyncio.get_running_loop().time
        repeats = self._repeats
        building: asyncio.Event | None = self._building
        turn, untimed = time() + _TURN, 0
        async with aclosing(self._backend.build(self._resolved)) as items:
            async for item in items:
                if isinstance(item, BuildResult):
                    return item
                if isinstance(item, WaitForTurn):
                    if self._earlier is not None and self._offer is None:
                        self._offer = asyncio.create_task(self._offer_earlier(self._earlier))
                    await self._wait_for_turn(deadline, seconds)
                    self._building.set()
                    continue
                if isinstance(item, Attempt):
                    self._full_log.write(self._writer.try_again(item).event.message)
                    continue
                note = read(item)
                if note is not None and (repeats is None or not _is_repeated(note, repeats)):
                    self._write(note)
                    self._grew()
                    if building is not None and self._writer.phase is not Phase.WAITING:
                        # A build of another server, which goes on, does not wait for a turn.
                        building.set()
                        building = None
                # Buffered lines are read without suspending, thousands at a time. Lines that come
                # one by one have been waited for, so the clock is not asked after each of them.
                raw = item.raw
                untimed += _LINE + len(raw) if isinstance(raw, str) else _UNTIMED
                if untimed >= _UNTIMED:
                    untimed = 0
                    if time() > turn:
                        await asyncio.sleep(0)
                        turn = time() + _TURN
        raise failure("internal", "The build ended without a result.")

    def _write(self, note: Note) -> None:
        position, changes = self._full_log.size, self._writer.changes
        before = len(changes)
        self._full_log.write(note.message)
        self._writer.write(note, log=self._log)
        if len(changes) > before:
            # Viewers of a log that is cut find its steps by their times.
            self._full_log.mark(position, changes[-1].time)


def _is_repeated(note: Note, repeats: Repeats) -> bool:
    return repeats.has(note.message, status=note.phase is Phase.WAITING)
