"""One timer for each launch: until it is cancelled because nobody watches, or forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .launch import Launch

__all__ = ["Timers"]


class Timers:
    """Calls a function with a launch after some time, unless that is stopped or replaced."""

    def __init__(self) -> None:
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def set(self, launch: Launch, after: float, call: Callable[..., None], *args: str) -> None:
        """Call a function with the launch and `args` after some seconds."""
        self.stop(launch)
        later = asyncio.get_running_loop().call_later
        self._timers[launch.id] = later(after, call, launch, *args)

    def stop(self, launch: Launch) -> None:
        """Stop the timer of a launch, if it has one."""
        if (timer := self._timers.pop(launch.id, None)) is not None:
            timer.cancel()

    def close(self) -> None:
        """Stop all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
