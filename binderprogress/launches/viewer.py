"""A viewer: one connection's place in a launch."""

from __future__ import annotations

import asyncio

from ..core.events import Encoded
from .launch import Launch

__all__ = ["Viewer"]


class Viewer:
    """One connection that reads a launch from a number on.

    Parameters
    ----------
    launch : Launch
    after : int
        The number of the last event that it has.
    """

    def __init__(self, launch: Launch, after: int) -> None:
        self._launch = launch
        self._wake = asyncio.Event()
        end = launch.last.id
        if launch.closed and after >= end:
            # Who comes back after the end gets the end again, and does not wait for ever.
            after = end - 1
        # A number from the future would wait for ever.
        self.position = min(max(after, 0), end)
        self.left = False
        """Whether the connection is gone."""

    def __enter__(self) -> Viewer:
        self._launch.changed.add(self._wake.set)
        self._launch.viewers += 1
        self._launch.watched.notify()
        return self

    def __exit__(self, *_: object) -> None:
        self._launch.changed.remove(self._wake.set)
        self._launch.viewers -= 1
        self._launch.watched.notify()

    @property
    def done(self) -> bool:
        """Whether it has read everything there will ever be."""
        return self._launch.closed and self.position >= self._launch.last.id

    def read(self, limit: int = 1000) -> list[Encoded]:
        """Return the next events, if there are any, and move on."""
        self._wake.clear()
        events = self._launch.read(self.position, limit=limit)
        if events:
            self.position = events[-1].event.id
        return events

    def leave(self) -> None:
        """End the wait: the connection is gone."""
        self.left = True
        self._wake.set()

    async def wait(self, timeout: float) -> bool:
        """Wait for something to read; False after `timeout` seconds without."""
        if self._wake.is_set():
            return True
        timed_out = False

        def give_up() -> None:
            nonlocal timed_out
            timed_out = True
            self._wake.set()

        # asyncio.timeout() would do, but it costs as much as all the rest of a viewer's turn.
        timer = asyncio.get_running_loop().call_later(timeout, give_up)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()
        return not timed_out
