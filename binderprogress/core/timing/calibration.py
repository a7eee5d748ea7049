"""How far the estimates of recent launches were off, and what follows for the next one.

A range that is computed from distributions holds as many launches as it says only if the
distributions are right. Downloads have heavier tails, and steps of one launch are slow together. So
each finished launch is estimated again as it went on, and how far it was from the median is noted,
as a multiple of the width of the range. The quantiles of these multiples are the widths of the
next ranges. This is conformal prediction (Romano, Patterson and Candès 2019), with a window,
because networks and machines change.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from ..phases import Phase
from .estimate import Left

__all__ = ["Calibration"]

_WINDOW = 400
"""Residuals of each phase that count."""

_ENOUGH = 60
"""Fewer residuals of a phase, which are of ten or twenty launches, say too little."""

_OF_LAUNCH = 3
"""About as many of a phase are of the same launch, and not independent of each other."""

_ASSUMED = 1.0
"""The number of launches that ranges without a correction are worth: the weights of a launch add up
to 1."""

_LEAST = 0.1
"""Seconds. Ranges are rounded to tenths, and narrower ones are taken for as wide as this."""


class _Residual(NamedTuple):
    """How far an estimate was off.

    Attributes
    ----------
    weight : float
        For what part of its launch it was shown.
    quarter, tenth : float
        From the median to the truth, as a multiple of the distance from the median to the
        quartile, or to the ninth decile. Negative: it took less.
    """

    weight: float
    quarter: float
    tenth: float


class _Widths(NamedTuple):
    """Where the quantiles are, as such multiples."""

    low: float = -1.0
    median: float = 0.0
    high: float = 1.0
    latest: float = 1.0


class Calibration:
    """Corrects the range of a time left by what was wrong with those of recent launches."""

    def __init__(self) -> None:
        self._residuals: dict[Phase, deque[_Residual]] = {}
        self._widths: dict[Phase, _Widths] = {}

    def add(self, phase: Phase, told: Left, left: float, weight: float) -> None:
        """Learn from an estimate whose truth is known.

        Parameters
        ----------
        phase : Phase
            The phase in which it was made.
        told : Left
            The estimate, as it was before it was corrected.
        left : float
            The seconds that were left.
        weight : float
            For what part of its launch it was shown, from 0 to 1.
        """
        below, above, far = _distances(told)
        off = left - told.median
        residual = _Residual(
            weight, off / (above if off > 0 else below), off / (far if off > 0 else below)
        )
        self._residuals.setdefault(phase, deque(maxlen=_WINDOW)).append(residual)
        self._widths.pop(phase, None)

    def correct(self, phase: Phase, told: Left) -> Left:
        """Return an estimate in which as many launches end as its quantiles say."""
        residuals = self._residuals.get(phase)
        if residuals is None or len(residuals) < _ENOUGH:
            return told
        widths = self._widths.get(phase)
        if widths is None:
            widths = self._widths[phase] = _measured(residuals)
        below, above, far = _distances(told)
        middle = told.median

        def at(width: float, up: float) -> float:
            return max(middle + width * (up if width > 0 else below), 0.0)

        # Each is estimated by itself, so their order is not certain.
        median = at(widths.median, above)
        low, high = min(at(widths.low, above), median), max(at(widths.high, above), median)
        return Left(low, median, high, max(at(widths.latest, far), high))


def _distances(told: Left) -> tuple[float, float, float]:
    """Return how far the quartiles and the ninth decile are from the median, in seconds."""
    low, median, high, latest = told
    return max(median - low, _LEAST), max(high - median, _LEAST), max(latest - median, _LEAST)


def _measured(residuals: Sequence[_Residual]) -> _Widths:
    quarters = sorted((residual.quarter, residual.weight) for residual in residuals)
    tenths = sorted((residual.tenth, residual.weight) for residual in residuals)
    total = sum(residual.weight for residual in residuals)
    # The next launch counts as one that is beyond all others, as in conformal prediction. Otherwise
    # ranges would be too narrow.
    beyond = 1 + _OF_LAUNCH / len(residuals)
    assumed = _Widths()
    found = _Widths(
        _quantile(quarters, (1 - 0.75 * beyond) * total),
        _quantile(quarters, 0.5 * total),
        _quantile(quarters, 0.75 * beyond * total),
        _quantile(tenths, 0.9 * beyond * total),
    )
    share = total / (total + _ASSUMED)
    return _Widths(*(a + share * (f - a) for a, f in zip(assumed, found, strict=True)))


def _quantile(ordered: list[tuple[float, float]], weight: float) -> float:
    """Return the smallest value up to which values have a weight in total, or the largest."""
    reached = list(accumulate(own for _, own in ordered))
    return ordered[min(bisect_left(reached, weight), len(ordered) - 1)][0]
