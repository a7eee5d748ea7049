"""Waits for a store that is away for a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..channels.base import Broadcast
from ..errors import (
    ChannelConflictError,
    ChannelNotFoundError,
    LeaseLimitError,
    LeaseLostError,
    LeaseTakenError,
    StorageError,
    StoredStateError,
)

__all__ = ["Waiting", "while_away"]

_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds before the store is asked again."""

_FINAL = (
    ChannelConflictError,
    ChannelNotFoundError,
    LeaseLimitError,
    LeaseLostError,
    LeaseTakenError,
    StoredStateError,
)
"""Answers that asking again does not change."""


_MOMENT = 2.0
"""Seconds for which viewers are not told that the store is away."""


class Waiting:
    """What waits for a store that is away."""

    def __init__(self) -> None:
        self.count = 0
        """The number of requests that wait."""
        self.problem = ""
        """What the store reported last."""
        self.is_shown = False
        """Whether viewers are told: not of an outage of a moment."""
        self.changed = Broadcast()
        """Notified when `is_shown` changes."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Count a request that waits."""
        self.count += 1
        if self.count == 1:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_MOMENT, self._show, True)

    def end(self) -> None:
        """Count a request that no longer waits."""
        self.count -= 1
        if self.count:
            return
        if self._timer is not None:
            self._timer.cancel()
        if self.is_shown:
            self._show(False)

    @contextmanager
    def outage(self) -> Iterator[Outage]:
        """Return an outage that has not begun. It ends with the context."""
        outage = Outage(self)
        try:
            yield outage
        finally:
            outage.end()

    def _show(self, is_shown: bool) -> None:
        self.is_shown = is_shown
        self.changed.notify()


class Outage:
    """What counts as waiting from the first failure to the next success."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self._has_begun = False

    def begin(self, problem: str) -> None:
        """Note a failure."""
        self._waiting.problem = problem
        if not self._has_begun:
            self._has_begun = True
            self._waiting.begin()

    def end(self) -> None:
        """Note a success."""
        if self._has_begun:
            self._has_begun = False
            self._waiting.end()


async def while_away(
    work: Callable[[], Awaitable[None]],
    *,
    patience: float,
    waiting: Waiting,
    log: logging.Logger | logging.LoggerAdapter[Any],
) -> None:
    """Have a store do something. While it is away, try again.

    Not with a library: time is that of the event loop, so that simulations can control it.

    Parameters
    ----------
    work : callable
    patience : float
        Seconds. 0: do not try again.
    waiting : Waiting
        Counts this while it waits.
    log : logging.Logger

    Raises
    ------
    StorageError
        If the store refuses it, or is away for longer.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    failures = 0
    try:
        while True:
            try:
                await work()
            except StorageError as error:
                if isinstance(error, _FINAL) or loop.time() >= until:
                    raise
                waiting.problem = str(error)
                if not failures:
                    waiting.begin()
                    # Once, and not for each of many launches.
                    log.log(
                        logging.WARNING if waiting.count == 1 else logging.DEBUG,
                        "Waiting for storage: %s",
                        error,
                    )
                failures += 1
                await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES)) - 1])
            else:
                return
    finally:
        if failures:
            waiting.end()
            if not waiting.count:
                log.info("Nothing waits for storage any more.")
