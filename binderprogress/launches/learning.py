"""What past launches taught, kept up to date with each one that is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from ..core.knowledge import Expectation, Knowledge, Place
from ..core.past import PastLaunch
from ..core.phases import Phase
from ..history.base import HistoryStore, NoHistory

__all__ = ["Learner"]

_AT_START = 20_000
"""Launches of the history that are learned from when it is opened: a second or two."""

_OF_REPOSITORY = 20
"""Launches of a repository that are looked up when none of it is among these."""

_MOST_ASKED = 10_000

_PATIENCE = 0.25
"""Seconds that a launch waits for that; it is only about how good its estimates are."""


class Learner:
    """Knows what to expect of launches.

    Parameters
    ----------
    log : logging.Logger
        The operator's.
    """

    def __init__(self, log: logging.Logger | logging.LoggerAdapter[Any]) -> None:
        self._log = log
        self._knowledge = Knowledge()
        self._history: HistoryStore = NoHistory()
        self._asked: set[str] = set()

    def open(self, history: HistoryStore) -> None:
        """Learn from what a history has; it takes as long as the database does."""
        self._history = history
        try:
            self._knowledge = _learned(history, _AT_START)
        except Exception:  # noqa: BLE001 - whatever a database raises: launches go on without
            self._log.exception("The history cannot be read; estimates begin anew")

    def add(self, past: PastLaunch) -> None:
        """Learn from a launch that is over."""
        self._knowledge.add(past)

    def about(
        self, place: Place, typical: Mapping[Phase, float], *, first_start: float = 1.0
    ) -> Expectation:
        """Return what is to be expected of a launch."""
        return self._knowledge.about(place, typical, first_start=first_start)

    async def look_up(self, repository: str) -> None:
        """Learn from a repository's own past, if that was not done yet."""
        if repository in self._asked or self._knowledge.has(Place(repository=repository)):
            return
        if len(self._asked) >= _MOST_ASKED:
            self._asked.clear()
        self._asked.add(repository)
        try:
            async with asyncio.timeout(_PATIENCE):
                for past in await asyncio.to_thread(self._past_of, repository):
                    self._knowledge.add(past)
        except TimeoutError:
            self._log.debug("The history took too long to tell of %s", repository)
        except Exception:  # noqa: BLE001 - as above
            self._log.exception("The history of %s cannot be read", repository)

    def _past_of(self, repository: str) -> list[PastLaunch]:
        return self._history.of(repository, _OF_REPOSITORY)[::-1]


def _learned(history: HistoryStore, limit: int) -> Knowledge:
    """Return what the newest launches teach, in the order in which they were."""
    knowledge = Knowledge()
    for past in reversed(history.recent(limit)):
        knowledge.add(past)
    return knowledge
