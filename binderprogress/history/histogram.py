"""Aggregates for a period: counts of outcomes, and histograms of durations.

The bins of a histogram are those of DDSketch (Masson, Rim and Lee, VLDB 2019): each is wider than
the previous one by a constant factor. So the relative error of a value that is read from the middle
of a bin is bounded, for any number of launches.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import accumulate
from math import ceil, log
from operator import add

import msgspec

__all__ = ["COLD", "WARM", "Ended", "Histogram", "Phases", "add_ended", "add_phases", "bin_of"]

COLD, WARM = "cold", "warm"

_SHORTEST = 0.01
"""Upper bound of the first bin, in seconds."""
_RISE = 1.02
"""Ratio of the widths of adjacent bins. The relative error is less than 1 %."""
_LAST = 1000
"""The last bin, which also has all durations of more than seven weeks."""

_MIDDLES = [
    _SHORTEST / 2,
    *(float(f"{2 * _SHORTEST * _RISE**n / (1 + _RISE):.5g}") for n in range(1, _LAST + 1)),
]

Ended = dict[str, dict[str, int]]
"""Number of launches by outcome and reason. The reason of ready ones is `COLD` or `WARM`."""


def bin_of(seconds: float) -> int:
    """Return the number of the bin of a duration."""
    if seconds <= _SHORTEST:
        return 0
    return min(ceil(log(seconds / _SHORTEST) / log(_RISE)), _LAST)


class Histogram(msgspec.Struct, frozen=True, array_like=True):
    """A histogram of durations.

    Attributes
    ----------
    first : int
        Number of the first bin that is not empty.
    counts : list of int
        Number of launches of each bin, from `first` to the last one that is not empty.
    least, most : float
        The shortest and the longest duration, in seconds. They bound the percentiles, which makes
        those of a single launch exact.
    """

    first: int
    counts: list[int]
    least: float
    most: float

    @classmethod
    def of(cls, times: Collection[float]) -> Histogram:
        """Return the histogram of at least one duration in seconds."""
        bins = Counter(map(bin_of, times))
        first = min(bins)
        counts = [bins[number] for number in range(first, max(bins) + 1)]
        return cls(first, counts, round(min(times), 3), round(max(times), 3))

    @classmethod
    def sum(cls, histograms: Sequence[Histogram]) -> Histogram:
        """Return the sum of at least one histogram."""
        if len(histograms) == 1:
            return histograms[0]
        first = min(each.first for each in histograms)
        counts = [0] * (max(each.first + len(each.counts) for each in histograms) - first)
        for each in histograms:
            place = slice(each.first - first, each.first - first + len(each.counts))
            counts[place] = map(add, counts[place], each.counts)
        least = min(each.least for each in histograms)
        most = max(each.most for each in histograms)
        return cls(first, counts, least, most)

    def percentiles(self, percents: Iterable[int]) -> tuple[int, list[float]]:
        """Return percentiles of the durations.

        Parameters
        ----------
        percents : iterable of int

        Returns
        -------
        int
            Number of launches.
        list of float
            The percentiles in seconds, with a relative error of at most 1 %.
        """
        below = list(accumulate(self.counts))
        launches = below[-1]
        # The rank is rounded up with integers, because floats are not exact.
        ranks = (max(-(-launches * percent // 100), 1) for percent in percents)
        middles = (_MIDDLES[self.first + bisect_left(below, rank)] for rank in ranks)
        return launches, [min(max(middle, self.least), self.most) for middle in middles]


Phases = dict[str, dict[str, Histogram]]
"""Durations of ready launches, by `COLD` or `WARM`, and by phase."""


def add_ended(parts: Iterable[Ended]) -> Ended:
    """Return the sum of counts."""
    sums: Ended = {}
    for part in parts:
        for outcome, reasons in part.items():
            totals = sums.setdefault(outcome, {})
            for reason, launches in reasons.items():
                totals[reason] = totals.get(reason, 0) + launches
    return sums


def add_phases(parts: Iterable[Phases]) -> Phases:
    """Return the sum of histograms."""
    lists: dict[str, dict[str, list[Histogram]]] = {}
    for part in parts:
        for kind, phases in part.items():
            by_phase = lists.setdefault(kind, {})
            for phase, histogram in phases.items():
                by_phase.setdefault(phase, []).append(histogram)
    return {
        kind: {phase: Histogram.sum(histograms) for phase, histograms in phases.items()}
        for kind, phases in lists.items()
    }
