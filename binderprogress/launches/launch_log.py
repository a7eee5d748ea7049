"""The log of a launch: all of it in chunks of UTF-8, or by its lines."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from functools import partial

from .launch import Launch
from .log_files import LogFiles
from .log_lines import LogLines, MemoryText, SharedIndex
from .parts import messages_of

__all__ = ["LaunchLines", "log_of"]

_READ = 512
"""Number of events that are read at a time."""

_MOST_TEXTS = 4
"""Logs that are kept in memory because they are not on a disk of this replica."""


async def log_of(launch: Launch) -> AsyncGenerator[bytes]:
    """Return the log of a launch so far. It ends early if the launch is forgotten meanwhile.

    Raises
    ------
    StorageError
        If the store cannot be read.
    """
    if not _has_full_log(launch):
        async for chunk, _ in _messages(launch, 0):
            yield chunk
        if (problem := _problem(launch)) and not launch.forgotten:
            yield problem
        return
    assert launch.build is not None  # noqa: S101 - for the type checker
    full_log, until = launch.build.full_log, launch.log_cut
    before, after = await launch.own_log()
    yield before
    chunks = full_log.read(until)
    # In a thread, because the disk may be slow.
    while not launch.forgotten and (chunk := await asyncio.to_thread(next, chunks, b"")):
        yield chunk
    if after and not launch.forgotten:
        yield after


def _has_full_log(launch: Launch) -> bool:
    """Whether the full log of its build is on a disk of this replica."""
    build = launch.build
    return build is not None and build.full_log.size > 0 and not build.channel.is_followed


def _problem(launch: Launch) -> bytes:
    """Why the full log of its build is not on the disk of this replica, if that is full."""
    return launch.build.full_log.problem if launch.build is not None else b""


async def _messages(launch: Launch, after: int) -> AsyncGenerator[tuple[bytes, int]]:
    """Yield messages after the number of an event, and the number of the last one so far."""
    end = launch.end
    while after < end and not launch.forgotten:
        events = await launch.read(after, limit=min(_READ, end - after))
        after = events[-1].id
        for chunk in messages_of(events):
            yield chunk, after


class LaunchLines:
    """Finds the lines of launches, for those who read parts of a log.

    Parameters
    ----------
    files : LogFiles
        With the logs of builds.
    """

    def __init__(self, files: LogFiles) -> None:
        self._files = files
        self._texts: OrderedDict[str, _Messages] = OrderedDict()

    async def of(self, launch: Launch) -> Callable[[], LogLines]:
        """Return what reads the log of a launch so far. Call that in a thread.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        is_over = launch.closed
        if not _has_full_log(launch):
            messages = self._texts.setdefault(launch.id, _Messages())
            self._texts.move_to_end(launch.id)
            while len(self._texts) > _MOST_TEXTS:
                self._texts.popitem(last=False)
            await messages.read(launch)
            problem = _problem(launch)
            return partial(LogLines, messages.text, messages.index, after=problem, is_over=is_over)
        assert launch.build is not None  # noqa: S101 - for the type checker
        text, problem = launch.build.full_log.text(launch.log_cut)
        index = self._files.index(launch.build.id)
        before, after = await launch.own_log()
        return partial(LogLines, text, index, before=before, after=problem + after, is_over=is_over)


class _Messages:
    """The messages of a launch, as far as they were read."""

    def __init__(self) -> None:
        self.text = MemoryText()
        self.index = SharedIndex()
        self._last = 0
        self._lock = asyncio.Lock()

    async def read(self, launch: Launch) -> None:
        async with self._lock:
            async for chunk, last in _messages(launch, self._last):
                self.text.data += chunk
                self._last = last
