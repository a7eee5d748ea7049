"""Records ended launches without blocking the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from ..core.timing.breakdown import Trace
from ..core.timing.spans import Span
from .launch import Launch

__all__ = ["Outcomes"]

_TURN = 0.005
"""Seconds after which the remaining launches wait for the next turn of the loop.

Attack: a hundred launches share a build whose log consists of steps, and all end at once.
"""


class Outcomes:
    """Records ended launches in order.

    Parameters
    ----------
    listeners : list of callable
        Called with each launch and its trace. They must be quick.
    keep : callable
        Stores each launch and its spans in the history.
    done : callable
        Called with each launch once it is recorded.
    log : logging.Logger
        The operator's.
    """

    def __init__(
        self,
        listeners: list[Callable[[Launch, Trace], None]],
        *,
        keep: Callable[[Launch, list[Span]], None],
        done: Callable[[Launch], None],
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._listeners = listeners
        self._keep = keep
        self._done = done
        self._log = log
        self._waiting: deque[Launch] = deque()
        self._turn: asyncio.Handle | None = None

    def add(self, launch: Launch) -> None:
        """Record a launch, now or in one of the next turns of the loop."""
        self._waiting.append(launch)
        if self._turn is None:
            self._take_turn()

    def finish(self) -> None:
        """Record all waiting launches now."""
        while self._waiting:
            self._record(self._waiting.popleft())

    def _take_turn(self) -> None:
        loop = asyncio.get_running_loop()
        self._turn = None
        if not self._waiting:
            return
        end = loop.time() + _TURN
        while self._waiting:
            self._record(self._waiting.popleft())
            if loop.time() >= end:
                break
        # Launches that end in this turn of the loop wait for the next one.
        self._turn = loop.call_soon(self._take_turn)

    def _record(self, launch: Launch) -> None:
        took = launch.spans()
        try:
            self._keep(launch, took)
        except Exception:  # noqa: BLE001 - any error of a history store; other launches are recorded
            self._log.exception("%r could not be kept in the history", launch)
        if self._listeners:
            trace = launch.trace(took)
            for listener in self._listeners:
                self._notify(listener, launch, trace)
        self._done(launch)

    def _notify(
        self, listener: Callable[[Launch, Trace], None], launch: Launch, trace: Trace
    ) -> None:
        try:
            listener(launch, trace)
        except Exception:  # noqa: BLE001 - it must not affect other listeners
            self._log.exception("A listener for the end of %r failed", launch)
