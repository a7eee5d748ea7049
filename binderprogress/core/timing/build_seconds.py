"""How long a build is expected to take."""

from __future__ import annotations

from math import log

from .estimator import TYPICAL
from .lognormal import SHORTEST, SIGMA, LogNormal
from .observations import BUILD_PHASES
from .priors import Expectation

__all__ = ["build_seconds"]


def build_seconds(expected: Expectation) -> float:
    """Return the expected seconds of fetching, building and pushing."""
    total = 0.0
    for phase in BUILD_PHASES:
        typical = expected.typical.get(phase, 0.0)
        chance = expected.happens(phase, float(phase in expected.typical))
        prior = LogNormal(log(max(typical or TYPICAL[phase], SHORTEST)), SIGMA)
        total += chance * expected.phase(phase, prior).median
    return total
