"""Durations whose logarithm is normal: what is left of one that has not ended yet."""

from __future__ import annotations

from math import erfc, exp, log, pi, sqrt
from statistics import NormalDist
from typing import NamedTuple

__all__ = [
    "NINTH",
    "QUARTILE",
    "SHORTEST",
    "LogNormal",
    "imputed",
    "quartiles",
    "remaining",
    "shifted",
]

SHORTEST = 0.05
"""Seconds: what is shorter has no length of its own worth knowing."""

QUARTILE, NINTH = 0.6744897501960817, 1.2815515655446004
"""Of a standard normal: the upper quartile, and what nine of ten are below."""

_inverse = NormalDist().inv_cdf
# It works in between; below, a normal's tail is as good as exponential.
_LEAST, _MOST = 1e-300, 1 - 1e-16
_ROOT = sqrt(0.5)


class LogNormal(NamedTuple):
    """A duration whose logarithm is normal.

    Attributes
    ----------
    mu : float
        The logarithm of the median, in seconds.
    sigma : float
        The spread of the logarithm.
    """

    mu: float
    sigma: float

    @property
    def median(self) -> float:
        """In seconds."""
        return exp(self.mu)


def remaining(dist: LogNormal, spent: float, quantile: float) -> float:
    """Return a quantile of what is left after `spent` seconds, in seconds."""
    mu, sigma = dist
    if spent <= 0:
        return exp(mu - sigma * _inverse(min(1 - quantile, _MOST)))
    # Tails, since far beyond what is usual 1 - Φ(z) would have no digits left.
    z = (log(spent) - mu) / sigma
    return _beyond(dist, spent, z, erfc(z * _ROOT) / 2, quantile)


def _beyond(dist: LogNormal, spent: float, z: float, beyond: float, quantile: float) -> float:
    """Return a quantile of what is left, where `beyond` is how probable more than `z` is."""
    tail = beyond * (1 - quantile)
    at = z - log(1 - quantile) / z if tail < _LEAST else -_inverse(min(tail, _MOST))
    return max(exp(dist.mu + dist.sigma * at) - spent, 0.0)


def quartiles(dist: LogNormal, spent: float) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile of what is left, in seconds."""
    mu, sigma = dist
    if spent <= 0:
        median, up = exp(mu), exp(QUARTILE * sigma)
        return median / up, median, median * up
    z = (log(spent) - mu) / sigma
    beyond = erfc(z * _ROOT) / 2
    return (
        _beyond(dist, spent, z, beyond, 0.25),
        _beyond(dist, spent, z, beyond, 0.5),
        _beyond(dist, spent, z, beyond, 0.75),
    )


def shifted(dist: LogNormal, spent: float) -> LogNormal:
    """Return what is left of something after `spent` seconds, as a duration of its own."""
    low, median, high = quartiles(dist, spent)
    spread = log(max(high, SHORTEST) / max(low, SHORTEST)) / (2 * QUARTILE)
    return LogNormal(log(max(median, SHORTEST)), max(spread, SHORTEST))


def imputed(seconds: float, usual: LogNormal) -> tuple[float, float]:
    """Return the expected logarithm of what was cut off after `seconds`, and what that is worth.

    What was cut off early says nothing; late, that it takes longer than was thought.
    """
    z = (log(max(seconds, SHORTEST)) - usual.mu) / usual.sigma
    tail = erfc(z / sqrt(2)) / 2
    # Far out a normal's hazard is z itself.
    hazard = exp(-z * z / 2) / sqrt(2 * pi) / tail if tail > 1e-12 else z
    return usual.mu + usual.sigma * hazard, 1 - tail
