"""Where the bar stands and how long it still takes, from phases, steps and past launches.

The bar shows elapsed / (elapsed + left). What is left of a phase is the conditional median of a
log-normal, given that it has not ended yet, and grows when it takes longer than usual; each later
phase adds its probability times its median. A step says more: how much was left of the phase when
that step began in other launches, or, where nobody has seen it, how many of its kind are done.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from math import exp, hypot, log, sqrt
from typing import NamedTuple

from ..events import Curve
from ..log.step_progress import Counted, done, further
from ..log.steps import Step
from ..phases import Phase
from .lognormal import NINTH, QUARTILE, LogNormal, quartiles, remaining, shifted
from .observations import BUILD_PHASES, left_key
from .priors import TYPICAL_PULL, Expectation, Place

__all__ = ["CEILING", "SIGMA", "TYPICAL", "Estimate", "Estimator", "time_left"]

CEILING = 99.0
"""Where the bar may come to before `ready`, in percent."""

TYPICAL: Mapping[Phase, float] = {
    Phase.WAITING: 1.0,
    Phase.FETCHING: 4.0,
    Phase.BUILDING: 120.0,
    Phase.PUSHING: 20.0,
    Phase.LAUNCHING: 8.0,
}
"""Seconds that a phase takes where nothing better is known; builders bring their own."""

_ORDER = list(Phase)
_EXPECTED = (*BUILD_PHASES, Phase.LAUNCHING)
SIGMA = 0.9
"""Spread of ln(duration): launches of unknown repositories differ by a factor of about 2.5."""

STEADY = 0.5
"""… of ln(duration) of a start, which differs less."""

CHANCE_OF_BUILD = 0.7
"""How probable it is that an environment has to be made, where nothing is known."""

PULL = 0.3
"""How probable a pull is on machines that get their images from a registry."""

PACE = 1.5
"""How far, in logarithms, the time half of the steps took is off from half of the time."""

CAUTION = 0.15
"""The bar cannot go back, so it takes what is left for more than its median: this part of the way
to the upper quartile."""

AHEAD = 0.6
"""The curve is right after this part of what is left, and after twice as much."""

MOMENT = 0.05
"""Seconds: no duration is taken to be shorter."""

FRESH = 0.2
"""Seconds for which an estimate holds while a log says nothing new."""

MOST_STEPS = 1000
"""Steps of a phase whose repetitions are counted."""

PULL_TOLD = frozenset({"pulling", "pulled", "created"})
"""The steps that say that a pull is under way, over, or not needed."""

REUSED = "reused"
"""The step that says that the environment is there."""

LAST = {REUSED: 0.0, "saving": 0.1}
"""The steps that a build ends with: what part of its time so far is still to come."""

ENDING = 0.3
"""Seconds: the end of a build is not taken to be nearer."""

STILL = {"scheduled": 0.8, "pulled": 0.6, "created": 0.5, "answering": 0.45}
"""What part of a start is still to come when Kubernetes says so much."""


class Estimate(NamedTuple):
    """Where the bar stands and where it goes.

    Attributes
    ----------
    progress : float
        Percent, now.
    curve : Curve or None
        How it moves from now on; None: it stands.
    eta, low, high : float or None
        Seconds until ready: median and quartiles; None when it will not come to that.
    late : float or None
        Seconds after which it takes longer than nine of ten: 0 when it does so already.
    """

    progress: float
    curve: Curve | None
    eta: float | None
    low: float | None
    high: float | None
    late: float | None


def time_left(
    typical: float, spent: float, quantile: float = 0.5, *, sigma: float = SIGMA
) -> float:
    """Return a quantile of the seconds that are left of something that has taken `spent` so far.

    Parameters
    ----------
    typical : float
        Its median duration, in seconds; its logarithm is taken to be normal.
    spent : float
        Seconds so far.
    quantile : float
        Between 0 and 1, both excluded.
    sigma : float
        The spread of the logarithm.

    Notes
    -----
    The quantile is the conditional one, given that it has not ended yet: for the median
    ``exp(μ + σ·Φ⁻¹((1 + Φ(z))/2)) − spent`` with ``z = (ln spent − μ)/σ``. It grows when something
    takes longer than usual, as it should.
    """
    if typical <= 0:
        return 0.0
    return remaining(LogNormal(log(typical), sigma), spent, quantile)


_Eta = tuple[float, ...]
"""Seconds until ready: median, lower and upper quartile, and what nine of ten keep within."""


class _Range(NamedTuple):
    """A duration by its quartiles and what nine of ten keep within, in seconds."""

    low: float
    median: float
    high: float
    late: float


class Estimator:
    """Says where the bar stands.

    Parameters
    ----------
    now : float
        Monotonic seconds, as in every call that follows.
    expectation : Expectation or mapping of Phase to float
        What past launches taught; or seconds per phase where there are none, phases that are left
        out not being expected.
    """

    def __init__(
        self, *, now: float, expectation: Expectation | Mapping[Phase, float] = TYPICAL
    ) -> None:
        if not isinstance(expectation, Expectation):
            expectation = Expectation(None, Place(), dict(expectation))
        self._expected = expectation
        self._began = now
        self._phase = Phase.WAITING
        self._cold: bool | None = None
        self._cached = False
        self._fetched = False
        self._step: Step | None = None
        self._counted: Counted = {}
        self._curve = Curve(from_=0.0, to=0.0, tau=1.0)
        self._curve_began = now
        self._fresh: tuple[float, _Eta] | None = None
        self._enter(Phase.WAITING, now)

    def copy(self) -> Estimator:
        """Return another that goes its own way from here."""
        other = copy(self)
        other._times = dict(self._times)
        return other

    def update(self, phase: Phase, step: Step | None, *, now: float) -> Estimate:
        """Take in what an event says.

        Parameters
        ----------
        phase : Phase
        step : Step or None
            None if the event begins none.
        now : float
        """
        if phase is Phase.READY:
            return Estimate(100.0, None, 0.0, 0.0, 0.0, 0.0)
        if phase is Phase.FAILED or phase is Phase.CANCELLED:
            return Estimate(round(self._at(now), 3), None, None, None, None, None)
        if phase is not self._phase:
            self._enter(phase, now)
        if step is not None:
            self._take(step, now)
        if self._fresh is None or now - self._fresh[0] > FRESH:
            left = self._left(now)
            eta = self._eta(left)
            self._bend(left.median, eta, now)
            self._fresh, told = (now, eta), now
        else:
            told, eta = self._fresh
        # What a busy log comes through at each line: no loops, and `round` takes long.
        past = now - told
        middle, low, high, late = eta
        # Rounded only here: with every line of a busy log it would not move at all.
        at = int(self._at(now) * 1000 + 0.5) / 1000
        curve = self._curve
        return Estimate(
            at,
            Curve(from_=at, to=max(at, curve.to), tau=curve.tau),
            int((middle - past) * 10 + 0.5) / 10 if middle > past else 0.0,
            int((low - past) * 10 + 0.5) / 10 if low > past else 0.0,
            int((high - past) * 10 + 0.5) / 10 if high > past else 0.0,
            int((late - past) * 10 + 0.5) / 10 if late > past else 0.0,
        )

    # -- evidence

    def _enter(self, phase: Phase, now: float) -> None:
        self._phase, self._phase_began, self._step, self._cached = phase, now, None, False
        self._fresh = None
        if phase is Phase.FETCHING:
            self._fetched = True
        elif phase in BUILD_PHASES:
            self._cold = True
        elif phase is not Phase.WAITING and self._cold is None:
            # It was not told of any building.
            self._cold = False
        self._since = now
        self._counted = {}
        self._times: dict[str, int] = {}
        self._dist = self._phase_dist = self._usual(phase)
        self._pull = self._chance_of_pull() if phase is Phase.LAUNCHING else 0.0
        self._sum_later()

    def _take(self, step: Step, now: float) -> None:
        """Learn from a step how much of the phase is left."""
        before = self._step
        if before == step:
            return
        counted = further(self._counted, step)
        if counted is None:
            return
        self._counted = counted
        same = before is not None and _name(before) == _name(step)
        if not same:
            self._cached = before is not None and before.cached
        self._step, self._fresh = step, None
        if self._phase is Phase.LAUNCHING:
            if self._pull and step.key in PULL_TOLD:
                self._pull = 0.0
                self._sum_later()
        elif step.key == REUSED:
            self._cold = False
            self._sum_later()
        prior = self._guess(step, now)
        name = step.digest or step.key
        times = self._times.get(name, 0)
        if not same:
            times += 1
            # Attack: a log that begins ever new steps would fill the memory.
            if len(self._times) < MOST_STEPS or name in self._times:
                self._times[name] = times
        cold = bool(self._cold)
        key = left_key(self._phase, name, max(times, 1), cached=self._cached, cold=cold)
        self._dist = self._expected.left(key, prior)
        self._since = now

    def _guess(self, step: Step, now: float) -> LogNormal:
        """Return what is left of the phase, for a step of which nothing is known."""
        spent = now - self._phase_began
        whole = self._phase_dist
        if step.key == "pulling":
            pull = self._expected.pull(LogNormal(log(TYPICAL_PULL), SIGMA))
            return LogNormal(log(pull.median + remaining(whole, spent, 0.5)), pull.sigma)
        if step.key in LAST:
            return LogNormal(log(max(LAST[step.key] * spent, ENDING)), SIGMA)
        if step.key in STILL:
            return LogNormal(whole.mu + log(STILL[step.key]), whole.sigma)
        part = done(self._counted, step)
        if not part:
            return shifted(whole, spent)
        # What is usual, and what the pace so far makes of it; the more is done, the more the pace
        # counts. Steps differ widely: half of them done can be any part of the time.
        pace = log(max(spent, MOMENT) / part)
        certain = part / (1 - part + MOMENT) / PACE**2
        usual = 1 / whole.sigma**2
        mu = (usual * whole.mu + certain * pace) / (usual + certain)
        total = LogNormal(mu, sqrt(1 / (usual + certain)))
        rest = exp(mu) * (1 - part)
        return LogNormal(log(max(rest, MOMENT)), max(total.sigma, SIGMA / 2))

    # -- what is left

    def _usual(self, phase: Phase) -> LogNormal:
        # A phase that nobody expected (a push) is not worth nothing once it is there.
        typical = self._expected.typical.get(phase, TYPICAL.get(phase, 0.0))
        prior = LogNormal(log(max(typical, MOMENT)), STEADY if phase is Phase.LAUNCHING else SIGMA)
        if phase is Phase.BUILT:
            return prior
        cold = self._chance_of_cold() > 0.5 if phase is Phase.LAUNCHING else False
        return self._expected.phase(phase, prior, cold=cold)

    def _chance_of_cold(self) -> float:
        """Return how probable it is that the environment has to be made, or 1 if it was."""
        if self._cold is not None:
            return float(self._cold)
        cold = self._expected.cold(CHANCE_OF_BUILD)
        if not self._fetched:
            return cold
        # Most builders fetch a repository only to build it; of some that says nothing.
        warm = (1 - cold) * self._expected.fetches_warm(0.0)
        return cold / (cold + warm) if warm else 1.0

    def _chance(self, phase: Phase) -> float:
        """Return how probable a later phase is."""
        expected = self._expected
        prior = float(phase in expected.typical)
        if phase is Phase.LAUNCHING:
            return prior
        cold = self._chance_of_cold()
        chance = expected.happens(phase, prior) * cold
        if phase is Phase.FETCHING:
            chance += (1 - cold) * expected.fetches_warm(0.0)
        return chance

    def _chance_of_pull(self) -> float:
        # Who pushes has other machines, which have to get the image.
        prior = PULL if Phase.PUSHING in self._expected.typical else 0.0
        return self._expected.pulls(bool(self._cold), prior)

    def _sum_later(self) -> None:
        """Add up the phases that are still to come; they are the same until the next one."""
        parts = [
            (chance, self._usual(phase))
            for phase in _EXPECTED
            if _ORDER.index(phase) > _ORDER.index(self._phase) and (chance := self._chance(phase))
        ]
        pull = self._pull
        if self._phase is not Phase.LAUNCHING and Phase.LAUNCHING in self._expected.typical:
            pull = self._chance_of_pull()
        parts.append((pull, self._expected.pull(LogNormal(log(TYPICAL_PULL), SIGMA))))
        median = below = above = late = 0.0
        for chance, dist in parts:
            if chance <= 0:
                continue
            whole = dist.median
            up, far = exp(QUARTILE * dist.sigma), exp(NINTH * dist.sigma)
            doubt = chance * (1 - chance) * whole * whole
            median += chance * whole
            below += (chance * whole * (1 - 1 / up)) ** 2 + doubt
            above += (chance * whole * (up - 1)) ** 2 + doubt
            late += (chance * whole * (far - 1)) ** 2 + doubt
        self._later = median
        self._gaps = (sqrt(below), sqrt(above), sqrt(late))

    def _left(self, now: float) -> _Range:
        """Return what is left of the present phase."""
        spent = max(now - self._since, 0.0)
        return _Range(
            *quartiles(self._dist, spent),
            exp(self._dist.mu + NINTH * self._dist.sigma) - spent,
        )

    def _eta(self, left: _Range) -> _Eta:
        """Return median, quartiles and what nine of ten keep within, of all that is left."""
        below, above, far = self._gaps
        middle = left.median + self._later
        low = middle - hypot(left.median - left.low, below)
        high = middle + hypot(left.high - left.median, above)
        late = left.late + self._later + far
        return middle, max(low, 0.0), high, max(late, 0.0)

    # -- the bar

    def _at(self, now: float) -> float:
        return self._curve.at(now - self._curve_began)

    def _bend(self, left: float, eta: _Eta, now: float) -> None:
        """Let the bar go where it would stand if nothing more were heard."""
        at = self._at(now)
        elapsed = max(now - self._began, 0.0)
        spent = now - self._since
        ahead = max(left * AHEAD, 0.25)
        middle, _, high, _ = eta
        caution = 1 + CAUTION * (high - middle) / middle if middle > 0 else 1.0

        def share(later: float) -> float:
            rest = remaining(self._dist, spent + later, 0.5) + self._later
            whole = elapsed + later + rest * caution
            return CEILING * (elapsed + later) / whole if whole > 0 else 0.0

        whole = elapsed + middle * caution
        here = max(at, CEILING * elapsed / whole if whole > 0 else 0.0)
        soon, then = share(ahead), share(2 * ahead)
        first, second = soon - here, then - soon
        if first > 0 and 0.05 * first < second < 0.95 * first:
            # The exponential through three points at equal distances.
            ratio = second / first
            to, tau = here + first / (1 - ratio), -ahead / log(ratio)
        else:
            # The bar is ahead, or moves as a line would: be where it should be by and by.
            to, tau = here + max(then - here, 0.0) / (1 - exp(-2)), ahead
        if to > CEILING and 0 < first < CEILING - here:
            # It may not go there; so it is right in the middle, and later a little slow.
            to, tau = CEILING, -ahead / log(1 - first / (CEILING - here))
        self._curve = Curve(from_=here, to=min(max(here, to), CEILING), tau=max(tau, 0.1))
        self._curve_began = now


def _name(step: Step) -> tuple[str, int, str]:
    """Return what makes a step another one than that before it."""
    return step.key, step.index, step.digest
