"""What past launches taught, kept up to date with each one that is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from .._daemon_threads import DaemonThreads
from ..backends.base import BackendProfile
from ..core.phases import Phase
from ..core.timing.learning import learn
from ..core.timing.priors import Expectation, Place, Priors
from ..core.timing.pulls import Pulls
from ..core.timing.spans import PastLaunch
from ..errors import HistoryUnavailableError
from ..history.store import HistoryStore, NoHistory
from .branches import Branches

__all__ = ["Learner"]

_AT_START = 20_000
"""Launches of the history that are learned from when it is opened: a second or two."""

_ESTIMATED = 100
"""The newest of them are also estimated again, to see how far estimates were off: some tenths of a
second."""

_OF_REPOSITORY = 20
"""Launches of a repository that are looked up when none of it is among these."""

_MOST_LOOKED_UP = 10_000
"""Repositories that are remembered as looked up."""

_MOST_QUERIES = 4
"""Queries that run at the same time; each takes a thread, also when the database hangs."""

_TIMEOUT = 60.0
"""Seconds that a query may take."""

_PATIENCE = 0.25
"""Seconds that a launch waits for a query; only the quality of its estimates depends on it."""


class Learner:
    """Knows what to expect of launches.

    Parameters
    ----------
    log : logging.Logger
        The operator's.
    profile : BackendProfile
        What is expected where nothing is known.
    """

    def __init__(
        self, log: logging.Logger | logging.LoggerAdapter[Any], profile: BackendProfile
    ) -> None:
        self._log = log
        self._profile = profile
        self._knowledge = Priors()
        self.branches = Branches()
        """Which commits branches had."""
        self._history: HistoryStore = NoHistory()
        self._looked_up: set[str] = set()
        self._threads = DaemonThreads("history look-up", most=_MOST_QUERIES, timeout=_TIMEOUT)
        self._queries: dict[str, asyncio.Task[None]] = {}

    def open(self, history: HistoryStore) -> None:
        """Learn from what a history has; it takes as long as the database does."""
        self._history = history
        try:
            self._knowledge, self.branches = self._learned(history.recent(_AT_START)[::-1])
        except Exception:  # noqa: BLE001 - whatever a database raises: launches go on without
            self._log.exception("The history cannot be read; estimates begin anew")

    def add(self, past: PastLaunch) -> None:
        """Learn from a launch that is over."""
        self._learn(self._knowledge, past)
        self.branches.add(past)

    def _learn(self, knowledge: Priors, past: PastLaunch) -> None:
        profile = self._profile
        learn(knowledge, past, profile.typical, first_start=profile.first_start)

    def _learned(self, launches: list[PastLaunch]) -> tuple[Priors, Branches]:
        """Return what launches teach, in the order in which they were."""
        knowledge, branches = Priors(), Branches()
        for index, past in enumerate(launches):
            if index < len(launches) - _ESTIMATED:
                knowledge.add(past)
            else:
                self._learn(knowledge, past)
            # It is not known on which node.
            knowledge.pulls.add(past.image_bytes or 0, past.pulled)
            branches.add(past)
        return knowledge, branches

    @property
    def pulls(self) -> Pulls:
        """What pulls of images taught."""
        return self._knowledge.pulls

    def about(
        self, place: Place, typical: Mapping[Phase, float], *, first_start: float = 1.0
    ) -> Expectation:
        """Return what is to be expected of a launch."""
        return self._knowledge.about(place, typical, first_start=first_start)

    async def look_up(self, repository: str) -> None:
        """Learn from a repository's own history, unless that was done before.

        This waits a moment only. What the database answers later still counts, for this
        repository's next launch.
        """
        if repository in self._looked_up or self._knowledge.has(Place(repository=repository)):
            return
        query = self._queries.get(repository)
        if query is None:
            if len(self._queries) >= _MOST_QUERIES:
                return
            query = asyncio.create_task(self._query(repository), name=f"history of {repository}")
            self._queries[repository] = query
            query.add_done_callback(lambda _: self._queries.pop(repository))
        await asyncio.wait([query], timeout=_PATIENCE)
        if not query.done():
            self._log.debug("The history of %s takes long; the launch goes on without", repository)

    async def _query(self, repository: str) -> None:
        try:
            launches = await self._threads.run(self._past_of, repository)
        except (HistoryUnavailableError, TimeoutError) as error:
            self._log.warning("The history of %s cannot be read: %s", repository, error)
            return
        except Exception:  # noqa: BLE001 - whatever a database raises; the next launch asks again
            self._log.exception("The history of %s cannot be read", repository)
            return
        if len(self._looked_up) >= _MOST_LOOKED_UP:
            self._looked_up.clear()
        self._looked_up.add(repository)
        if self._knowledge.has(Place(repository=repository)):
            # A launch that ended meanwhile is among these, and would count twice.
            return
        for past in launches:
            self._knowledge.add(past)
            self.branches.add(past)

    def _past_of(self, repository: str) -> list[PastLaunch]:
        return self._history.of(repository, _OF_REPOSITORY)[::-1]
