"""Records ended launches, without blocking the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from ..core.phases import Phase
from ..core.timing.breakdown import Trace
from ..core.timing.recent import Ended, Recent, Window
from ..history.store import HistoryStore, NoHistory
from .event_writer import Clock
from .history_entry import past_of
from .launch import Launch
from .learner import Learner

__all__ = ["Outcomes"]

_TURN = 0.005
"""Seconds after which the remaining launches wait for the next turn of the loop.

Attack: a hundred launches share a build whose log consists of steps, and all end at once.
"""


class Outcomes:
    """Counts ended launches, and records them in order.

    Parameters
    ----------
    learner : Learner
        Learns from them.
    host : str
        Where servers are started, for the history. Empty: on this machine.
    clock : Clock
    done : callable
        Called with each launch once it is recorded.
    log : logging.Logger
        The operator's.
    """

    def __init__(
        self,
        learner: Learner,
        *,
        host: str,
        clock: Clock,
        done: Callable[[Launch], None],
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.counts: Counter[Phase] = Counter()
        """The number of ended launches by their last phase."""
        self.listeners: list[Callable[[Launch, Trace], None]] = []
        """Called with each launch and where its time went. They must be quick."""
        self.history: HistoryStore = NoHistory()
        """Keeps ended launches."""
        self._recent = Window()
        self._learner = learner
        self.host = host
        self._clock = clock
        self._done = done
        self._log = log
        self._waiting: deque[Launch] = deque()
        self._turn: asyncio.Handle | None = None

    def add(self, launch: Launch) -> None:
        """Count a launch, and record it now or in one of the next turns of the loop."""
        last = launch.last
        self.counts[last.phase] += 1
        now = self._clock.monotonic()
        self._recent.add(Ended(now, last.phase, launch.seconds, last.reason))
        self._log.info("%r ended", launch)
        self._waiting.append(launch)
        if self._turn is None:
            self._take_turn()

    def recent(self) -> Recent:
        """Return how the launches of the last minutes ended."""
        return self._recent.look(self._clock.monotonic())

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
            past = past_of(launch, took, host=self.host)
            self.history.add(past)
            self._learner.add(past)
        except Exception:  # noqa: BLE001 - any error of a history store; other launches are recorded
            self._log.exception("%r could not be kept in the history", launch)
        if self.listeners:
            trace = launch.trace(took)
            for listener in self.listeners:
                self._notify(listener, launch, trace)
        self._done(launch)

    def _notify(
        self, listener: Callable[[Launch, Trace], None], launch: Launch, trace: Trace
    ) -> None:
        try:
            listener(launch, trace)
        except Exception:  # noqa: BLE001 - it must not affect other listeners
            self._log.exception("A listener for the end of %r failed", launch)
