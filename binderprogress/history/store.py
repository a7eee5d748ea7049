"""The interface of the history, which is all that `launches` and `web` know about it.

Every method except `add` may block as long as a database does, so call it in a thread. Those that
read raise `HistoryUnavailableError` if the database cannot be reached.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from ..core.phases import Phase
from ..core.timing.spans import PastLaunch

__all__ = [
    "Day",
    "Distribution",
    "HistoryStore",
    "Names",
    "NoHistory",
    "Popular",
    "ReasonCount",
    "SlowRepository",
    "Stats",
    "WaitingHistory",
]


_MOST_WAITING = 1000


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """The durations of a phase.

    Attributes
    ----------
    phase : str
        A phase, or ``total`` for the full launch.
    cold : bool
        Whether these launches built the environment.
    day : str
        A date such as 2026-11-25, in UTC; empty for all days together. If there are more than 92
        days, the Monday of a week.
    launches : int
        Number of launches with this phase.
    p10, p25, p50, p75, p90 : float
        Percentiles, in seconds.
    """

    phase: str
    cold: bool
    day: str = ""
    launches: int
    p10: float
    p25: float
    p50: float
    p75: float
    p90: float


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """Number of launches of a day by outcome. `cold` is the number of ready ones with a build."""

    day: str
    ready: int = 0
    failed: int = 0
    cancelled: int = 0
    cold: int = 0


class ReasonCount(msgspec.Struct, frozen=True, kw_only=True):
    """Number of launches that ended with a reason."""

    outcome: Phase
    reason: str
    launches: int


class SlowRepository(msgspec.Struct, frozen=True, kw_only=True):
    """A repository whose launches take long.

    Attributes
    ----------
    provider, repository : str
    launches, ready, failed : int
        Number of launches, and of those by outcome.
    seconds : float
        Mean duration of the ready launches.
    pulled : float
        Mean duration of pulling the image, over all launches.
    """

    provider: str
    repository: str
    launches: int
    ready: int
    failed: int
    seconds: float
    pulled: float


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """The providers and hosts with launches. The host "" is this server."""

    providers: list[str] = []
    hosts: list[str] = []


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of a number of days.

    Attributes
    ----------
    days : list of Day
        The days with launches, in their order.
    phases : list of Distribution
        For all days together, and for each day, of ready launches. Launches that joined a build
        count only for the phases after it.
    reasons : list of ReasonCount
        Reasons of failed and cancelled launches, the most frequent first.
    repositories : list of SlowRepository
        The slowest first, over the full history.
    """

    days: list[Day] = []
    phases: list[Distribution] = []
    reasons: list[ReasonCount] = []
    repositories: list[SlowRepository] = []


class Popular(msgspec.Struct, frozen=True, kw_only=True):
    """An image that is worth pulling in advance.

    Attributes
    ----------
    image, provider, repository, ref, commit, host : str
        The image, and what it was built from. `ref` is that of the last launch.
    launches : int
        Number of launches in the history.
    last : float
        Time of the last launch, in seconds since 1970 (UTC).
    seconds : float
        Mean duration of pulling it.
    score : float
        `seconds` times the number of launches, whose weight halves every two weeks.
    """

    image: str
    provider: str
    repository: str
    ref: str
    commit: str
    host: str
    launches: int
    last: float
    seconds: float
    score: float


class HistoryStore(Protocol):
    """Keeps finished launches."""

    @property
    def lost(self) -> int:
        """Number of launches that could not be written."""
        ...

    def add(self, past: PastLaunch) -> None:
        """Add a launch. It returns immediately, and never raises."""
        ...

    def recent(self, limit: int) -> list[PastLaunch]:
        """Return the newest launches, the newest first."""
        ...

    def of(self, repository: str, limit: int) -> list[PastLaunch]:
        """Return the newest launches of a repository's address, the newest first."""
        ...

    def between(self, began: float, ended: float) -> Iterator[PastLaunch]:
        """Yield the launches that began in a period, the oldest first.

        Parameters
        ----------
        began, ended : float
            In seconds since 1970. `ended` is not part of it.
        """
        ...

    def stats(
        self, *, days: int, now: float, provider: str | None = None, host: str | None = None
    ) -> Stats:
        """Return statistics of the last days.

        Parameters
        ----------
        days : int
            Number of days, including today.
        now : float
            Seconds since 1970.
        provider, host : str, optional
            Only launches of this provider or host.
        """
        ...

    def names(self) -> Names:
        """Return the providers and hosts with launches."""
        ...

    def popular(self, *, limit: int, now: float) -> list[Popular]:
        """Return the images that are most worth pulling in advance, best first."""
        ...

    def rebuild(self, progress: Callable[[int], None]) -> int:
        """Recompute all totals from the launches, and return the number of launches.

        Parameters
        ----------
        progress : callable
            Called from time to time with the number of launches that were read.

        Raises
        ------
        HistoryError
            If the database reports an error. The totals are unchanged then.
        """
        ...

    def close(self) -> None:
        """Write pending launches, and disconnect from the database."""
        ...


class NoHistory:
    """A history that keeps nothing."""

    lost = 0

    def add(self, past: PastLaunch) -> None:
        """Do nothing."""

    def recent(self, limit: int) -> list[PastLaunch]:
        """Return none."""
        return []

    def of(self, repository: str, limit: int) -> list[PastLaunch]:
        """Return none."""
        return []

    def between(self, began: float, ended: float) -> Iterator[PastLaunch]:
        """Yield none."""
        yield from ()

    def stats(
        self, *, days: int, now: float, provider: str | None = None, host: str | None = None
    ) -> Stats:
        """Return empty statistics."""
        return Stats()

    def names(self) -> Names:
        """Return none."""
        return Names()

    def popular(self, *, limit: int, now: float) -> list[Popular]:
        """Return none."""
        return []

    def rebuild(self, progress: Callable[[int], None]) -> int:
        """Do nothing."""
        return 0

    def close(self) -> None:
        """Do nothing."""


class WaitingHistory(NoHistory):
    """A history that is not open yet.

    Attributes
    ----------
    launches : deque of PastLaunch
        The newest launches that ended meanwhile.
    """

    def __init__(self) -> None:
        self.launches: deque[PastLaunch] = deque(maxlen=_MOST_WAITING)

    def add(self, past: PastLaunch) -> None:
        """Keep a launch until the history is open."""
        self.launches.append(past)
