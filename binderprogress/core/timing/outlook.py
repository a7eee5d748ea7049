"""What comes after the current phase of a launch: its chances, and how long it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import exp, log, sqrt
from typing import NamedTuple

from ..phases import Phase
from .estimate import Left
from .lognormal import QUARTILE, SIGMA, LogNormal
from .mixture import Case, quantile, total
from .observations import BUILD_PHASES
from .priors import TYPICAL_PULL, Expectation

__all__ = ["CHANCE_OF_BUILD", "MOMENT", "PULL", "STEADY", "TYPICAL", "Later", "Outlook"]

TYPICAL: Mapping[Phase, float] = {
    Phase.WAITING: 1.0,
    Phase.FETCHING: 4.0,
    Phase.BUILDING: 120.0,
    Phase.PUSHING: 20.0,
    Phase.LAUNCHING: 8.0,
}
"""Default duration of each phase, in seconds. Builders have their own."""

STEADY = 0.5
"""Standard deviation of ln(duration) of starting a server, which varies less."""

CHANCE_OF_BUILD = 0.7
"""Default probability that an environment has to be built."""

PULL = 0.3
"""Default probability that an image has to be pulled if images are pushed to a registry."""

MOMENT = 0.05
"""Minimum duration, in seconds."""

_ORDER = list(Phase)
_SHARES = (0.25, 0.5, 0.75, 0.9)
_EXPECTED = (*BUILD_PHASES, Phase.LAUNCHING)


class Later(NamedTuple):
    """The time that the later phases take.

    Attributes
    ----------
    left : Left
        Its quantiles, in seconds.
    mean : float
        Each part multiplied by its probability. The bar uses it, because it must not jump when one
        of the cases is ruled out.
    above : float
        Seconds from there to the upper quartile.
    """

    left: Left
    mean: float
    above: float


class Outlook:
    """The later phases of one launch.

    Parameters
    ----------
    expected : Expectation
    """

    def __init__(self, expected: Expectation) -> None:
        self._expected = expected

    def usual(self, phase: Phase, *, cold: bool) -> LogNormal:
        """Return the duration of a phase; starting a server depends on a build before it."""
        # A phase that was not expected, such as a push, still takes time once it has begun.
        typical = self._expected.typical.get(phase, TYPICAL.get(phase, 0.0))
        prior = LogNormal(log(max(typical, MOMENT)), STEADY if phase is Phase.LAUNCHING else SIGMA)
        if phase is Phase.BUILT:
            return prior
        return self._expected.phase(phase, prior, cold=cold and phase is Phase.LAUNCHING)

    def pull(self) -> LogNormal:
        """Return the duration of pulling an image of unknown size."""
        return self._expected.pull(LogNormal(log(TYPICAL_PULL), SIGMA))

    def chance_of_cold(self, *, fetched: bool) -> float:
        """Return the probability that the environment has to be built, while it is not known.

        Parameters
        ----------
        fetched : bool
            Whether the repository is fetched. Most builders fetch it only to build it, but some
            always do.
        """
        cold = self._expected.cold(CHANCE_OF_BUILD)
        if not fetched:
            return cold
        warm = (1 - cold) * self._expected.fetches_warm(0.0)
        return cold / (cold + warm) if warm else 1.0

    def chance_of_pull(self, *, cold: bool) -> float:
        """Return the probability that the image has to be pulled."""
        # If images are pushed, other machines have to pull them.
        prior = PULL if Phase.PUSHING in self._expected.typical else 0.0
        return self._expected.pulls(cold, prior)

    @property
    def has_launch(self) -> bool:
        """Whether a server is started."""
        return Phase.LAUNCHING in self._expected.typical

    def after(self, phase: Phase, *, cold: float, pull: float) -> Later:
        """Return the time that is left after a phase.

        Parameters
        ----------
        phase : Phase
        cold, pull : float
            Probability that the environment has to be built, and that the image has to be pulled.
        """
        later = [other for other in _EXPECTED if _ORDER.index(other) > _ORDER.index(phase)]
        cases = tuple(self._cases(later, cold=cold, pull=pull))
        left = Left(*(quantile(cases, share) for share in _SHARES))
        parts = [
            (chance, self.usual(other, cold=cold > 0.5))
            for other in later
            if (chance := self._chance(other, cold=cold)) > 0
        ]
        if pull > 0:
            parts.append((pull, self.pull()))
        mean = squares = 0.0
        for chance, dist in parts:
            typical = dist.median
            up = exp(QUARTILE * dist.sigma)
            # Variance of whether the phase happens at all.
            variance = chance * (1 - chance) * typical * typical
            mean += chance * typical
            squares += (chance * typical * (up - 1)) ** 2 + variance
        return Later(left, mean, sqrt(squares))

    def _cases(self, later: list[Phase], *, cold: float, pull: float) -> Iterator[Case]:
        """Yield how the launch may go on: with a build or without, with a pull or without."""
        for is_cold, chance in ((True, cold), (False, 1 - cold)):
            parts = [
                self.usual(phase, cold=cold > 0.5)
                for phase in later
                if self._is_likely(phase, cold=is_cold)
            ]
            if chance * (1 - pull) > 0:
                yield Case(chance * (1 - pull), total(parts))
            if chance * pull > 0:
                yield Case(chance * pull, total([*parts, self.pull()]))

    def _chance(self, phase: Phase, *, cold: float) -> float:
        """Return the probability of a later phase."""
        expected = self._expected
        prior = float(phase in expected.typical)
        if phase is Phase.LAUNCHING:
            return prior
        chance = expected.happens(phase, prior) * cold
        if phase is Phase.FETCHING:
            chance += (1 - cold) * expected.fetches_warm(0.0)
        return chance

    def _is_likely(self, phase: Phase, *, cold: bool) -> bool:
        """Whether a later phase probably happens, with a build or without."""
        return self._chance(phase, cold=float(cold)) > 0.5
