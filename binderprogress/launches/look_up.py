"""Looks up the commit of a launch while the launch itself is still being stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ..backends.base import ResolvedSpec
from ..core.events import DoneAhead

__all__ = ["LookUp"]


class LookUp:
    """A look-up that goes on in the background. As a context, it says how long storing takes.

    If the context ends with an exception, so does the look-up.

    Parameters
    ----------
    work : coroutine
        Returns the resolved spec.
    seconds : callable
        Return the seconds since the launch began.
    """

    def __init__(
        self, work: Coroutine[Any, Any, ResolvedSpec], *, seconds: Callable[[], float]
    ) -> None:
        self._seconds = seconds
        self._began = seconds()
        self._stored = self._done = 0.0
        self._task = asyncio.create_task(work, name="look-up of a commit")
        self._task.add_done_callback(self._end)

    def __enter__(self) -> LookUp:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stored = self._seconds()
        if kind is not None:
            self.cancel()

    async def result(self) -> ResolvedSpec:
        """Wait for the resolved spec.

        Raises
        ------
        LaunchFailedError, RefusedError
            As `Builder.resolve` does.
        """
        return await self._task

    def ahead(self) -> DoneAhead:
        """Return how much of it was done while the launch was stored. It has ended."""
        began, done, stored = (round(each, 3) for each in (self._began, self._done, self._stored))
        saved = round(max(min(done, stored) - began, 0.0), 3)
        return DoneAhead("look-up", "Commit looked up", began, done, saved)

    def cancel(self) -> None:
        """End it, unless it has ended."""
        self._task.cancel()

    def _end(self, task: asyncio.Task[ResolvedSpec]) -> None:
        self._done = self._seconds()
        if not task.cancelled():
            # Otherwise, asyncio would report that nobody knows: the launch may have been refused.
            task.exception()
