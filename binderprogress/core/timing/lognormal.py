"""Log-normal durations, and the time left of one that has not ended yet."""

from __future__ import annotations

from math import erfc, exp, log, pi, sqrt
from statistics import NormalDist
from typing import NamedTuple

from .estimate import Left

__all__ = [
    "NINTH",
    "QUARTILE",
    "SHORTEST",
    "SIGMA",
    "LogNormal",
    "imputed",
    "quantiles",
    "remaining",
    "shifted",
    "time_left",
]

SIGMA = 0.9
"""Standard deviation of ln(duration): unknown repositories differ by a factor of about 2.5."""

SHORTEST = 0.05
"""Seconds. Shorter durations are treated as this long."""

QUARTILE, NINTH = 0.6744897501960817, 1.2815515655446004
"""The upper quartile and the ninth decile of the standard normal distribution."""

_inverse = NormalDist().inv_cdf
# The range in which _inverse works. Below it, the tail of a normal is nearly exponential.
_LEAST, _MOST = 1e-300, 1 - 1e-16
_ROOT = sqrt(0.5)


class LogNormal(NamedTuple):
    """A duration whose logarithm is normally distributed.

    Attributes
    ----------
    mu : float
        Logarithm of the median in seconds.
    sigma : float
        Standard deviation of the logarithm.
    """

    mu: float
    sigma: float

    @property
    def median(self) -> float:
        """The median, in seconds."""
        return exp(self.mu)


def remaining(dist: LogNormal, spent: float, quantile: float) -> float:
    """Return a quantile of the seconds left after `spent` seconds."""
    mu, sigma = dist
    if spent <= 0:
        return exp(mu - sigma * _inverse(min(1 - quantile, _MOST)))
    # The tail is computed directly, because 1 - Φ(z) loses all digits for large z.
    z = (log(spent) - mu) / sigma
    return _beyond(dist, spent, z, erfc(z * _ROOT) / 2, quantile)


def time_left(
    typical: float, spent: float, quantile: float = 0.5, *, sigma: float = SIGMA
) -> float:
    """Return a quantile of the seconds left after `spent` seconds.

    Parameters
    ----------
    typical : float
        Median of the log-normal duration, in seconds.
    spent : float
        Seconds so far.
    quantile : float
        Between 0 and 1, exclusive.
    sigma : float
        Standard deviation of the logarithm.

    Notes
    -----
    The quantile is conditional on not having ended yet. The median is
    ``exp(μ + σ·Φ⁻¹((1 + Φ(z))/2)) − spent`` with ``z = (ln spent − μ)/σ``, which grows if something
    takes longer than usual.
    """
    if typical <= 0:
        return 0.0
    return remaining(LogNormal(log(typical), sigma), spent, quantile)


def _beyond(dist: LogNormal, spent: float, z: float, beyond: float, quantile: float) -> float:
    """Return a quantile of the seconds left; `beyond` is the probability of more than `z`."""
    tail = beyond * (1 - quantile)
    at = z - log(1 - quantile) / z if tail < _LEAST else -_inverse(min(tail, _MOST))
    return max(exp(dist.mu + dist.sigma * at) - spent, 0.0)


def quantiles(dist: LogNormal, spent: float) -> Left:
    """Return the quartiles and the ninth decile of the seconds left."""
    mu, sigma = dist
    if spent <= 0:
        median, up = exp(mu), exp(QUARTILE * sigma)
        return Left(median / up, median, median * up, exp(mu + NINTH * sigma))
    z = (log(spent) - mu) / sigma
    beyond = erfc(z * _ROOT) / 2
    return Left(
        _beyond(dist, spent, z, beyond, 0.25),
        _beyond(dist, spent, z, beyond, 0.5),
        _beyond(dist, spent, z, beyond, 0.75),
        _beyond(dist, spent, z, beyond, 0.9),
    )


def shifted(dist: LogNormal, spent: float) -> LogNormal:
    """Return the time left after `spent` seconds, approximated by a log-normal duration."""
    low, median, high, _ = quantiles(dist, spent)
    spread = log(max(high, SHORTEST) / max(low, SHORTEST)) / (2 * QUARTILE)
    return LogNormal(log(max(median, SHORTEST)), max(spread, SHORTEST))


def imputed(seconds: float, usual: LogNormal) -> tuple[float, float]:
    """Return the expected logarithm of a duration that was censored, and its weight.

    An early end carries little information and gets little weight. A late one shows that the
    duration is longer than expected.

    Parameters
    ----------
    seconds : float
        Time until the duration was cut off.
    usual : LogNormal
        The expected duration.

    Returns
    -------
    value, weight : float
        The conditional mean of the logarithm, and a weight from 0 to 1.
    """
    z = (log(max(seconds, SHORTEST)) - usual.mu) / usual.sigma
    tail = erfc(z / sqrt(2)) / 2
    # Far out, the hazard of a normal is about z.
    hazard = exp(-z * z / 2) / sqrt(2 * pi) / tail if tail > 1e-12 else z
    return usual.mu + usual.sigma * hazard, 1 - tail
