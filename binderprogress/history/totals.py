"""Sums and counts over launches, kept up to date with each that is added.

What a page asks for is read from these, in milliseconds, however many launches there are. All of
them can be made anew from the launches.
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
"""Stands for the whole launch among the phases."""

PERIODS = (1, 7)
"""Launches are counted by the day and by the week: of many days, that are fewer to add up."""

_HALF_LIFE = 14 * DAY
_START = 1_767_225_600.0  # 2026-01-01


def weight(began: float) -> float:
    """Return what a launch counts beside others: twice as much as one of two weeks before.

    Weights grow and never fade: so they can be added up in any order and are compared as they are.
    Divided by the weight of a moment, a sum is in launches of that moment.
    """
    # Held where floats end, for a clock that is wrong by decades.
    return float(2.0 ** max(-1000.0, min((began - _START) / _HALF_LIFE, 1000.0)))


class Period(NamedTuple):
    """A day or a week of one provider and one host, or of all.

    Attributes
    ----------
    provider, host : str
        Or `ALL`.
    days : int
        One of `PERIODS`.
    day : int
        The first, in days since 1970, UTC.
    """

    provider: str
    host: str
    days: int
    day: int


def begin_of(day: int, days: int) -> int:
    """Return the first day of the period that a day is in; weeks begin with a Monday."""
    # The first day of all was a Thursday.
    return day - (day + 3) % 7 if days == 7 else day


class Sums:
    """What some launches add to the sums and counts."""

    def __init__(self) -> None:
        self._ended: Counter[tuple[str, str, int, str, str]] = Counter()
        self._times: defaultdict[tuple[str, str, int, str, str], list[float]] = defaultdict(list)
        self.repositories: dict[str, dict[str, Any]] = {}
        self.images: dict[str, dict[str, Any]] = {}

    def add(self, past: PastLaunch, *, repository: str, image: str) -> None:
        """Add a launch; `repository` and `image` are the keys of these."""
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
        """Return what they add to each period, of their provider and host and of all."""
        ended: defaultdict[Period, list[Ended]] = defaultdict(list)
        for (provider, host, day, outcome, reason), launches in self._ended.items():
            for period in _periods(provider, host, day):
                ended[period].append({outcome: {reason: launches}})
        phases: defaultdict[Period, list[Phases]] = defaultdict(list)
        for (provider, host, day, kind, phase), times in self._times.items():
            one = {kind: {phase: Histogram.of(times)}}
            for period in _periods(provider, host, day):
                phases[period].append(one)
        # In one order: two who count up the same do not wait for each other for ever.
        return {
            period: (add_ended(ended[period]), add_phases(phases[period]))
            for period in sorted(ended)
        }

    def _add_repository(self, past: PastLaunch, key: str) -> None:
        ready = past.outcome is Phase.READY
        found = self.repositories.setdefault(
            key,
            {
                "key": key,
                "provider": past.provider,
                "address": past.repository,
                **dict.fromkeys(("launches", "ready", "failed"), 0),
                **dict.fromkeys(("seconds", "pulled", "weight"), 0.0),
            },
        )
        found["launches"] += 1
        found["ready"] += ready
        found["failed"] += past.outcome is Phase.FAILED
        found["seconds"] += past.seconds if ready else 0.0
        found["pulled"] += past.pulled
        found["weight"] += weight(past.began)

    def _add_image(self, past: PastLaunch, repository: str, key: str) -> None:
        pulled = past.pulled
        found = self.images.setdefault(
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
        if past.began >= found["last"]:
            found.update(last=past.began, ref=past.ref, commit=past.commit)
        found["launches"] += 1
        found["pulls"] += pulled > 0
        found["pulled"] += pulled
        found["weight"] += weight(past.began)


def _periods(provider: str, host: str, day: int) -> list[Period]:
    return [
        Period(of_provider, of_host, days, begin_of(day, days))
        for of_provider, of_host, days in product((provider, ALL), (host, ALL), PERIODS)
    ]


def _durations(past: PastLaunch) -> dict[str, float]:
    # Of a build that was under way, nobody knows here how long it took.
    wanted = {Phase.LAUNCHING} if past.joined else set(Phase) - {Phase.BUILT}
    phases = past.phase_seconds().items()
    return {TOTAL: past.seconds, **{p.value: seconds for p, seconds in phases if p in wanted}}
