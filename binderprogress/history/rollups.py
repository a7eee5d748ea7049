"""Sums and counts over launches, kept up to date with each that is added.

What a page asks for is read from these, in milliseconds, however many launches there are. All of
them can be made anew from the launches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import floor, log2
from typing import Any

from ..core.past import PastLaunch
from ..core.phases import Phase
from .tables import ALL

__all__ = ["DAY", "TOTAL", "Sums", "bin_of", "quantiles", "weight"]

DAY = 86400.0
TOTAL = "total"
"""Stands for the whole launch among the phases."""

_BINS = 4
"""As many to a doubling of the time: a quantile is off by less than a tenth."""
_SHORTEST = 0.001

_HALF_LIFE = 14 * DAY
_START = 1_767_225_600.0  # 2026-01-01


def weight(began: float) -> float:
    """Return what a launch counts beside others: twice as much as one of two weeks before.

    Weights grow and never fade: so they can be added up in any order and are compared as they are.
    Divided by the weight of a moment, a sum is in launches of that moment.
    """
    # Held where floats end, for a clock that is wrong by decades.
    return float(2.0 ** max(-1000.0, min((began - _START) / _HALF_LIFE, 1000.0)))


def bin_of(seconds: float) -> int:
    """Return the bin of a histogram that a time is counted in."""
    return floor(_BINS * log2(max(seconds, _SHORTEST)))


def quantiles(bins: Mapping[int, int], wanted: Iterable[float]) -> list[float]:
    """Return quantiles of a histogram, in seconds; `wanted` are from 0 to 1, in their order."""
    found = []
    total = sum(bins.values())
    ordered = iter(sorted(bins.items()))
    number, count = next(ordered)
    below = 0
    for share in wanted:
        rank = share * total
        while rank > below + count:
            below += count
            number, count = next(ordered)
        found.append(round(2 ** ((number + (rank - below) / count) / _BINS), 3))
    return found


class Sums:
    """What some launches add to the sums and counts."""

    def __init__(self) -> None:
        self.phases: Counter[tuple[int, str, str, bool, str, int]] = Counter()
        self.outcomes: Counter[tuple[int, str, str, bool, str, str]] = Counter()
        self.repositories: dict[str, dict[str, Any]] = {}
        self.images: dict[str, dict[str, Any]] = {}

    def add(self, past: PastLaunch, *, repository: str, image: str) -> None:
        """Add a launch; `repository` and `image` are the keys of these."""
        day = floor(past.began / DAY)
        outcome = past.outcome.value
        self.outcomes[day, past.provider, past.host, past.cold, outcome, past.reason] += 1
        if past.outcome is Phase.READY:
            for phase, seconds in _durations(past).items():
                number = bin_of(seconds)
                self.phases[day, past.provider, past.host, past.cold, phase, number] += 1
                self.phases[day, ALL, ALL, past.cold, phase, number] += 1
        self._add_repository(past, repository)
        if image:
            self._add_image(past, repository, image)

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


def _durations(past: PastLaunch) -> dict[str, float]:
    # Of a build that was under way, nobody knows here how long it took.
    wanted = {Phase.LAUNCHING} if past.joined else set(Phase) - {Phase.BUILT}
    phases = past.phase_seconds().items()
    return {TOTAL: past.seconds, **{p.value: seconds for p, seconds in phases if p in wanted}}
