"""Totals of launches, which are updated with each launch.

Pages read the totals, which takes milliseconds for any number of launches. All totals can be
recomputed from the launches.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import product
from math import floor
from typing import Any, NamedTuple

from ..core.phases import Phase
from ..core.timing.spans import PastLaunch
from .histogram import COLD, WARM, Ended, Histogram, Phases, add_ended, add_phases
from .models import ALL

__all__ = ["DAY", "PERIODS", "TOTAL", "Period", "Sums", "begin_of", "weight"]

DAY = 86400.0
TOTAL = "total"
"""The phase name of the full launch."""

PERIODS = (1, 7)
"""Lengths of periods in days. Weeks make it faster to add up many days."""

_HALF_LIFE = 14 * DAY
_START = 1_767_225_600.0  # 2026-01-01


def weight(began: float) -> float:
    """Return the weight of a launch, which is twice that of a launch two weeks earlier.

    Weights do not change later, so they can be added in any order, and totals can be compared. A
    total divided by the weight of a time is a number of launches at that time.
    """
    # Limited to the range of floats, for a clock that is wrong by decades.
    return float(2.0 ** max(-1000.0, min((began - _START) / _HALF_LIFE, 1000.0)))


class Period(NamedTuple):
    """A day or a week, for one provider and host or for all.

    Attributes
    ----------
    provider, host : str
        A name, or `ALL`.
    days : int
        Length of the period, one of `PERIODS`.
    day : int
        First day of the period, in days since 1970 (UTC).
    """

    provider: str
    host: str
    days: int
    day: int


def begin_of(day: int, days: int) -> int:
    """Return the first day of the period that contains a day. Weeks begin on Monday."""
    # Day 0 was a Thursday.
    return day - (day + 3) % 7 if days == 7 else day


class Sums:
    """The amounts that a number of launches add to the totals."""

    def __init__(self) -> None:
        self._ended: Counter[tuple[str, str, int, str, str]] = Counter()
        self._times: defaultdict[tuple[str, str, int, str, str], list[float]] = defaultdict(list)
        self.repositories: dict[str, dict[str, Any]] = {}
        self.images: dict[str, dict[str, Any]] = {}

    def add(self, past: PastLaunch, *, repository: str, image: str) -> None:
        """Add a launch. `repository` and `image` are the keys of its rows."""
        of = (past.provider, past.host, floor(past.began / DAY))
        kind = COLD if past.cold else WARM
        ready = past.outcome is Phase.READY
        self._ended[*of, past.outcome.value, kind if ready else past.reason] += 1
        if ready:
            for phase, seconds in _durations(past).items():
                self._times[*of, kind, phase].append(seconds)
        self._add_repository(past, repository)
        if image:
            self._add_image(past, repository, image)

    def periods(self) -> dict[Period, tuple[Ended, Phases]]:
        """Return the amounts for each period."""
        ended: defaultdict[Period, list[Ended]] = defaultdict(list)
        for (provider, host, day, outcome, reason), launches in self._ended.items():
            for period in _periods(provider, host, day):
                ended[period].append({outcome: {reason: launches}})
        phases: defaultdict[Period, list[Phases]] = defaultdict(list)
        for (provider, host, day, kind, phase), times in self._times.items():
            part = {kind: {phase: Histogram.of(times)}}
            for period in _periods(provider, host, day):
                phases[period].append(part)
        # Sorted, so that two transactions with the same periods do not deadlock.
        return {
            period: (add_ended(ended[period]), add_phases(phases[period]))
            for period in sorted(ended)
        }

    def _add_repository(self, past: PastLaunch, key: str) -> None:
        ready = past.outcome is Phase.READY
        row = self.repositories.setdefault(
            key,
            {
                "key": key,
                "provider": past.provider,
                "address": past.repository,
                **dict.fromkeys(("launches", "ready", "failed"), 0),
                **dict.fromkeys(("seconds", "pulled", "weight"), 0.0),
            },
        )
        row["launches"] += 1
        row["ready"] += ready
        row["failed"] += past.outcome is Phase.FAILED
        row["seconds"] += past.seconds if ready else 0.0
        row["pulled"] += past.pulled
        row["weight"] += weight(past.began)

    def _add_image(self, past: PastLaunch, repository: str, key: str) -> None:
        pulled = past.pulled
        row = self.images.setdefault(
            key,
            {
                "key": key,
                "repository": repository,
                "image": past.image,
                "host": past.host,
                "last": float("-inf"),
                **dict.fromkeys(("launches", "pulls"), 0),
                **dict.fromkeys(("pulled", "weight"), 0.0),
            },
        )
        if past.began >= row["last"]:
            row.update(last=past.began, ref=past.ref, commit=past.commit)
        row["launches"] += 1
        row["pulls"] += pulled > 0
        row["pulled"] += pulled
        row["weight"] += weight(past.began)


def _periods(provider: str, host: str, day: int) -> list[Period]:
    return [
        Period(of_provider, of_host, days, begin_of(day, days))
        for of_provider, of_host, days in product((provider, ALL), (host, ALL), PERIODS)
    ]


def _durations(past: PastLaunch) -> dict[str, float]:
    # A launch that joined a build did not see its beginning.
    wanted = {Phase.LAUNCHING} if past.joined else set(Phase) - {Phase.BUILT}
    phases = past.phase_seconds().items()
    return {TOTAL: past.seconds, **{p.value: seconds for p, seconds in phases if p in wanted}}
