"""What the launches of some time come to: how they ended, and histograms of how long they took.

The bins of a histogram are those of DDSketch (Masson, Rim and Lee, VLDB 2019): each is wider than
the one before by the same share, so that what is read from a bin's middle is off by no more than a
share of itself, however many launches there are.
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
"""What takes less, in seconds, is in the first bin, and off by no more than half of this."""
_RISE = 1.02
"""How much wider a bin is than the one before: its middle is off by less than one in a hundred."""
_LAST = 1000
"""Seven weeks; what takes longer is in this bin, too, so that none has more."""

_MIDDLES = [
    _SHORTEST / 2,
    *(float(f"{2 * _SHORTEST * _RISE**n / (1 + _RISE):.5g}") for n in range(1, _LAST + 1)),
]

Ended = dict[str, dict[str, int]]
"""How many launches there were, by outcome and reason; of the ready ones, `COLD` or `WARM`."""


def bin_of(seconds: float) -> int:
    """Return the bin that a time is counted in."""
    if seconds <= _SHORTEST:
        return 0
    return min(ceil(log(seconds / _SHORTEST) / log(_RISE)), _LAST)


class Histogram(msgspec.Struct, frozen=True, array_like=True):
    """How many launches took about so long.

    Attributes
    ----------
    first : int
        The first bin that has any.
    counts : list of int
        Of this bin, and of all that follow to the last that has any.
    least, most : float
        The shortest and the longest time, so that of a single launch its own is told.
    """

    first: int
    counts: list[int]
    least: float
    most: float

    @classmethod
    def of(cls, times: Collection[float]) -> Histogram:
        """Return one of some times, in seconds; there has to be one."""
        bins = Counter(map(bin_of, times))
        first = min(bins)
        counts = [bins[number] for number in range(first, max(bins) + 1)]
        return cls(first, counts, round(min(times), 3), round(max(times), 3))

    @classmethod
    def sum(cls, found: Sequence[Histogram]) -> Histogram:
        """Return the sum of some; there has to be one."""
        if len(found) == 1:
            return found[0]
        first = min(one.first for one in found)
        counts = [0] * (max(one.first + len(one.counts) for one in found) - first)
        for one in found:
            place = slice(one.first - first, one.first - first + len(one.counts))
            counts[place] = map(add, counts[place], one.counts)
        least, most = min(one.least for one in found), max(one.most for one in found)
        return cls(first, counts, least, most)

    def percentiles(self, wanted: Iterable[int]) -> tuple[int, list[float]]:
        """Say how long launches took.

        Parameters
        ----------
        wanted : iterable of int
            Shares of the launches, in percent.

        Returns
        -------
        int
            How many launches there are.
        list of float
            How many seconds each of these shares took at most, within one percent.
        """
        below = list(accumulate(self.counts))
        launches = below[-1]
        # The rank of the launch that is meant, rounded up, without a detour by floats.
        ranks = (max(-(-launches * share // 100), 1) for share in wanted)
        middles = (_MIDDLES[self.first + bisect_left(below, rank)] for rank in ranks)
        return launches, [min(max(middle, self.least), self.most) for middle in middles]


Phases = dict[str, dict[str, Histogram]]
"""How long launches took that are ready: by `COLD` and `WARM`, and by phase."""


def add_ended(found: Iterable[Ended]) -> Ended:
    """Return the sum of some."""
    sums: Ended = {}
    for one in found:
        for outcome, reasons in one.items():
            there = sums.setdefault(outcome, {})
            for reason, launches in reasons.items():
                there[reason] = there.get(reason, 0) + launches
    return sums


def add_phases(found: Iterable[Phases]) -> Phases:
    """Return the sum of some."""
    lists: dict[str, dict[str, list[Histogram]]] = {}
    for one in found:
        for kind, phases in one.items():
            there = lists.setdefault(kind, {})
            for phase, histogram in phases.items():
                there.setdefault(phase, []).append(histogram)
    return {
        kind: {phase: Histogram.sum(histograms) for phase, histograms in phases.items()}
        for kind, phases in lists.items()
    }
