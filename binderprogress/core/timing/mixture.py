"""The time that is left after the current phase, which depends on what has to be done.

Whether an environment has to be built or an image has to be pulled changes the time by a factor of
ten or more. The mean of such cases is a time that no launch takes, and its quartiles say nothing.
So each case has its own distribution, and quantiles are those of the mixture.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import erfc, exp, log, sqrt
from statistics import NormalDist
from typing import NamedTuple

from .lognormal import QUARTILE, LogNormal

__all__ = ["Case", "quantile", "total"]

_ROOT = sqrt(0.5)
_inverse = NormalDist().inv_cdf
_LEAST, _PRECISION = log(1e-3), 1e-4
"""Logarithms of seconds: where the search for a quantile begins, and when it ends."""


class Case(NamedTuple):
    """One way in which a launch may go on.

    Attributes
    ----------
    chance : float
        Its probability.
    time : LogNormal or None
        How long it takes; None: nothing is to be done.
    """

    chance: float
    time: LogNormal | None


def total(parts: Sequence[LogNormal]) -> LogNormal | None:
    """Return the sum of independent durations, approximated by a log-normal; None without any.

    Its median is the sum of the medians. Its spread is that of the distances between the medians
    and the upper quartiles.
    """
    if len(parts) < 2:
        return parts[0] if parts else None
    median = sum(part.median for part in parts)
    above = sqrt(sum((part.median * (exp(QUARTILE * part.sigma) - 1)) ** 2 for part in parts))
    return LogNormal(log(median), log(1 + above / median) / QUARTILE)


@lru_cache(1024)
def quantile(cases: tuple[Case, ...], share: float) -> float:
    """Return the time, in seconds, within which a share of all launches ends.

    Launches that expect the same have the same cases, so the last results are kept.

    Parameters
    ----------
    cases : tuple of Case
        Their chances add up to 1.
    share : float
        Between 0 and 1, exclusive.
    """
    timed = [(case.chance, case.time) for case in cases if case.time is not None]
    nothing = 1 - sum(chance for chance, _ in timed)
    if share <= nothing or not timed:
        return 0.0
    # It lies between those of the cases, or below if in some nothing is to be done.
    ends = [time.mu + _inverse(share) * time.sigma for _, time in timed]
    low, high = min(ends) if nothing < _PRECISION else _LEAST, max(ends)
    while high - low > _PRECISION:
        middle = (low + high) / 2
        beyond = sum(
            chance * erfc((middle - time.mu) / time.sigma * _ROOT) / 2 for chance, time in timed
        )
        if 1 - beyond < share:
            low = middle
        else:
            high = middle
    return exp((low + high) / 2)
