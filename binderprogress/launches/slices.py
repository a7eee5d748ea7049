"""Reads slices of a launch for its viewers: from memory at once, otherwise from the store."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

from ..core.events import Encoded
from ..errors import StorageError
from .stream import LaunchStream

__all__ = ["SLICE_EVENTS", "Slices"]

SLICE_EVENTS = 512
SLICE_BYTES = 128 * 1024
"""How much is written to a viewer at once. What it has not taken yet is held by reference."""

_KEPT = 32
"""Slices that were read from the store and are kept for viewers at the same number."""

_RETRY = 1.0
"""Seconds until the store is read again after an error."""


class Slices:
    """What comes after a number of a launch, as much as is written at once.

    Parameters
    ----------
    stream : LaunchStream
    """

    def __init__(self, stream: LaunchStream) -> None:
        self._stream = stream
        self._read: dict[int, tuple[Sequence[Encoded], int]] = {}
        """Events that were read, by the number before them, and how many still want them."""
        self._waiting: dict[int, list[Callable[[], None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def after(self, number: int, limit: int, ready: Callable[[], None]) -> Sequence[Encoded] | None:
        """Return at most `limit` events after a number, at least one.

        Returns
        -------
        sequence of Encoded or None
            None if they are not in memory. `ready` is called once they are; ask again then.
        """
        events = self._take(number) if self._read else None
        if events is None:
            events = self._stream.read_nowait(number, limit=SLICE_EVENTS)
        if events is None:
            self._wait(number, ready)
            return None
        return events if len(events) == 1 else _within(events, limit)

    def close(self) -> None:
        """Stop reading: the last viewer has left."""
        for task in self._tasks:
            task.cancel()
        self._waiting.clear()
        self._read.clear()

    def _take(self, number: int) -> Sequence[Encoded] | None:
        """Return events that were read before, and forget them with the last one who wants them."""
        events, wanted = self._read.pop(number, (None, 0))
        if events is not None and wanted > 1:
            self._read[number] = events, wanted - 1
        return events

    def _wait(self, number: int, ready: Callable[[], None]) -> None:
        waiting = self._waiting.get(number)
        if waiting is not None:
            waiting.append(ready)
            return
        self._waiting[number] = [ready]
        task = asyncio.create_task(self._fetch(number), name=f"events after {number}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch(self, number: int) -> None:
        events: Sequence[Encoded] = ()
        while not (events or self._stream.forgotten):
            try:
                events = await self._stream.read(number, limit=SLICE_EVENTS)
            except StorageError:
                # Viewers wait until the store can be read again, or their launch is forgotten.
                await asyncio.sleep(_RETRY)
        waiting = self._waiting.pop(number)
        if events:
            if len(self._read) >= _KEPT:
                del self._read[next(iter(self._read))]
            self._read[number] = events, len(waiting)
        for ready in waiting:
            ready()


def _within(events: Sequence[Encoded], limit: int) -> Sequence[Encoded]:
    sizes = [*accumulate([len(encoded.sse) for encoded in events[:limit]])]
    if sizes and sizes[-1] > SLICE_BYTES:
        return events[: max(bisect_right(sizes, SLICE_BYTES), 1)]
    return events if len(events) <= limit else events[:limit]
