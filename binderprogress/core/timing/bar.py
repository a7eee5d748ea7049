"""How the bar moves until the next event."""

from __future__ import annotations

from math import exp, hypot, log

from ..events import Curve
from .lognormal import LogNormal, remaining

__all__ = ["AHEAD", "CAUTION", "CEILING", "bend"]

CEILING = 99.0
"""Maximum position of the bar before `ready`, in percent."""

CAUTION = 0.15
"""The bar cannot go back, so it uses a longer time than the median: this fraction of the way from
there to the upper quartile."""

AHEAD = 0.6
"""The curve is exact after this fraction of the time left, and after twice that."""


def bend(
    at: float,
    dist: LogNormal,
    *,
    spent: float,
    elapsed: float,
    left: float,
    high: float,
    later: float,
    above: float,
) -> Curve:
    """Return the curve to where the bar will be if no more events come.

    Parameters
    ----------
    at : float
        Where the bar is, in percent.
    dist : LogNormal
        The duration of what is left of the phase, from when that began.
    spent : float
        Seconds since then.
    elapsed : float
        Seconds since the launch began.
    left, high : float
        Median and upper quartile of the seconds left of the phase.
    later, above : float
        Mean seconds of the later phases, and from there to the upper quartile.
    """
    ahead = max(left * AHEAD, 0.25)
    middle = left + later
    upper = middle + hypot(high - left, above)
    caution = 1 + CAUTION * (upper - middle) / middle if middle > 0 else 1.0

    def share(further: float) -> float:
        remains = remaining(dist, spent + further, 0.5) + later
        whole = elapsed + further + remains * caution
        return CEILING * (elapsed + further) / whole if whole > 0 else 0.0

    whole = elapsed + middle * caution
    here = max(at, CEILING * elapsed / whole if whole > 0 else 0.0)
    soon, then = share(ahead), share(2 * ahead)
    first, second = soon - here, then - soon
    if first > 0 and 0.05 * first < second < 0.95 * first:
        # The exponential through three points at equal intervals.
        ratio = second / first
        to, tau = here + first / (1 - ratio), -ahead / log(ratio)
    else:
        # The bar is ahead, or its way is nearly a line: approach the position gradually.
        to, tau = here + max(then - here, 0.0) / (1 - exp(-2)), ahead
    if to > CEILING and 0 < first < CEILING - here:
        # The bar must stay below: it is exact after `ahead`, and a little slow later.
        to, tau = CEILING, -ahead / log(1 - first / (CEILING - here))
    return Curve(from_=here, to=min(max(here, to), CEILING), tau=max(tau, 0.1))
