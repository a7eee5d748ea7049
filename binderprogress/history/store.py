"""What a history offers; launches and the web know nothing else of it.

All of it but `add` may take as long as a database does: call it in a thread.
"""

from __future__ import annotations

from collections.abc import Callable
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
]


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """How long a phase took, in seconds.

    Attributes
    ----------
    phase : str
        Or ``total``, for the whole launch.
    cold : bool
        Of launches that made the environment, or of those that found it.
    day : str
        As 2026-11-25, in UTC; empty for all days together. Over more than 92 days, the Monday of a
        week.
    launches : int
        How many went through it.
    p10, p25, p50, p75, p90 : float
        Quantiles.
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
    """How the launches of a day ended; `cold` is how many of those that are ready were cold."""

    day: str
    ready: int = 0
    failed: int = 0
    cancelled: int = 0
    cold: int = 0


class ReasonCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many launches ended for a reason."""

    outcome: Phase
    reason: str
    launches: int


class SlowRepository(msgspec.Struct, frozen=True, kw_only=True):
    """A repository whose launches take long; `seconds` is their mean, of those that are ready."""

    provider: str
    repository: str
    launches: int
    ready: int
    failed: int
    seconds: float
    pulled: float


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """Of which providers and hosts there are launches; the host "" is here."""

    providers: list[str] = []
    hosts: list[str] = []


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time went, over some days.

    Attributes
    ----------
    days : list of Day
        Those with launches, in their order.
    phases : list of Distribution
        For all days together, and for each. Of launches that are ready; of those that joined a
        build, only what came after it.
    reasons : list of ReasonCount
        Of those that are not ready, the most frequent first.
    repositories : list of SlowRepository
        The slowest first, over all that is kept.
    """

    days: list[Day] = []
    phases: list[Distribution] = []
    reasons: list[ReasonCount] = []
    repositories: list[SlowRepository] = []


class Popular(msgspec.Struct, frozen=True, kw_only=True):
    """An image that is worth having on every node.

    Attributes
    ----------
    image, provider, repository, ref, commit, host : str
        What it is, and of what; `ref` is the one launched last.
    launches : int
        That are kept.
    seconds : float
        How long it is pulled where it is not there yet.
    score : float
        Launches, each half as much worth two weeks later, times these seconds.
    """

    image: str
    provider: str
    repository: str
    ref: str
    commit: str
    host: str
    launches: int
    seconds: float
    score: float


class HistoryStore(Protocol):
    """Keeps launches that are over."""

    @property
    def lost(self) -> int:
        """How many could not be kept."""
        ...

    def add(self, past: PastLaunch) -> None:
        """Keep a launch. It returns at once, and never raises."""
        ...

    def recent(self, limit: int) -> list[PastLaunch]:
        """Return the newest launches, the newest first."""
        ...

    def of(self, repository: str, limit: int) -> list[PastLaunch]:
        """Return the newest launches of a repository's address, the newest first."""
        ...

    def stats(
        self, *, days: int, now: float, provider: str | None = None, host: str | None = None
    ) -> Stats:
        """Say where the time went in the last days; with `provider` or `host`, of this one only."""
        ...

    def names(self) -> Names:
        """Return what there are launches of."""
        ...

    def popular(self, *, limit: int, now: float) -> list[Popular]:
        """Return the images that are most worth having on every node."""
        ...

    def rebuild(self, told: Callable[[int], None]) -> int:
        """Make all sums anew from the launches; return how many there are.

        Parameters
        ----------
        told : callable
            Called now and then with how many have been read.

        Raises
        ------
        HistoryError
            If the database cannot; then all is as before.
        """
        ...

    def close(self) -> None:
        """Write what was added, and let go of the database."""
        ...


class NoHistory:
    """Keeps nothing."""

    lost = 0

    def add(self, past: PastLaunch) -> None:
        """Forget it."""

    def recent(self, limit: int) -> list[PastLaunch]:
        """Return none."""
        return []

    def of(self, repository: str, limit: int) -> list[PastLaunch]:
        """Return none."""
        return []

    def stats(
        self, *, days: int, now: float, provider: str | None = None, host: str | None = None
    ) -> Stats:
        """Say that there was nothing."""
        return Stats()

    def names(self) -> Names:
        """Return none."""
        return Names()

    def popular(self, *, limit: int, now: float) -> list[Popular]:
        """Return none."""
        return []

    def rebuild(self, told: Callable[[int], None]) -> int:
        """Do nothing."""
        return 0

    def close(self) -> None:
        """Do nothing."""
