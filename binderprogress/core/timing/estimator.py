"""Estimates the position of the bar and the time left, from phases, steps and past launches.

The bar shows elapsed / (elapsed + left). The time left of the current phase is the conditional
median of a log-normal, given that the phase has not ended yet, so it grows if the phase takes
longer than usual. For the bar, each later phase adds its probability times its median; the time
left and its range are quantiles of the cases, see `mixture`. A step gives more
evidence: the time that was left when this step began in past launches, or, if it is unknown, the
number of steps that are done.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from math import exp, hypot, log, sqrt
from typing import NamedTuple

from ..events import Curve
from ..log.step_progress import Counted, done, further
from ..log.steps import BINDERHUB_AWAY, Step
from ..phases import Phase
from .estimate import Estimate
from .lognormal import (
    NINTH,
    QUARTILE,
    SIGMA,
    LogNormal,
    quartiles,
    remaining,
    shifted,
    time_left,
)
from .mixture import Case, quantile, total
from .observations import BUILD_PHASES, left_key
from .priors import TYPICAL_PULL, Expectation, Place

__all__ = ["CEILING", "SIGMA", "TYPICAL", "Estimate", "Estimator", "time_left"]

CEILING = 99.0
"""Maximum position of the bar before `ready`, in percent."""

TYPICAL: Mapping[Phase, float] = {
    Phase.WAITING: 1.0,
    Phase.FETCHING: 4.0,
    Phase.BUILDING: 120.0,
    Phase.PUSHING: 20.0,
    Phase.LAUNCHING: 8.0,
}
"""Default duration of each phase, in seconds. Builders have their own."""

_ORDER = list(Phase)
_SHARES = (0.25, 0.5, 0.75, 0.9)
_EXPECTED = (*BUILD_PHASES, Phase.LAUNCHING)
STEADY = 0.5
"""Standard deviation of ln(duration) of starting a server, which varies less."""

CHANCE_OF_BUILD = 0.7
"""Default probability that an environment has to be built."""

PULL = 0.3
"""Default probability that an image has to be pulled if images are pushed to a registry."""

PACE = 1.5
"""Standard deviation, in logarithms, of a duration that is extrapolated from half of the steps."""

CAUTION = 0.15
"""The bar cannot go back, so it uses a longer time than the median: this fraction of the way from
there to the upper quartile."""

AHEAD = 0.6
"""The curve is exact after this fraction of the time left, and after twice that."""

MOMENT = 0.05
"""Minimum duration, in seconds."""

FRESH = 0.5
"""Seconds for which an estimate is reused while a log begins no new step."""

MOST_STEPS = 1000
"""Maximum number of steps of a phase whose repetitions are counted."""

PULL_STEPS = frozenset({"pulling", "pulled", "created"})
"""The steps that show that a pull has begun, has ended, or is not needed."""

REUSED = "reused"
"""The step that shows that the environment exists."""

LAST = {REUSED: 0.0, "saving": 0.1}
"""The steps at the end of a build: the time left as a fraction of the build's time so far."""

ENDING = 0.3
"""Minimum time left of a build at such a step, in seconds."""

STANDING = frozenset({BINDERHUB_AWAY.key})
"""The steps in which nothing goes on, so that the bar stands."""

STILL = {"scheduled": 0.8, "pulled": 0.6, "created": 0.5, "answering": 0.45}
"""The time left at steps of Kubernetes, as a fraction of the usual time of starting a server."""


_Eta = tuple[float, ...]
"""Seconds until ready: median, lower quartile, upper quartile, ninth decile."""


class _Range(NamedTuple):
    """Quartiles and ninth decile of a duration, in seconds."""

    low: float
    median: float
    high: float
    late: float


class Estimator:
    """Estimates one launch, event by event.

    Parameters
    ----------
    now : float
        Monotonic time in seconds, as in all later calls.
    expectation : Expectation or mapping of Phase to float
        The expectation from past launches. A mapping gives default durations in seconds; phases
        that are missing are not expected.
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
        self._stood: float | None = None
        self.pull_time: LogNormal | None = None
        """Expected duration of pulling the image, from its size."""
        self.queue_time = 0.0
        """Expected seconds in a queue, for the next step in one."""
        self._enter(Phase.WAITING, now)

    def copy(self) -> Estimator:
        """Return an independent copy."""
        other = copy(self)
        other._times = dict(self._times)
        return other

    def hold(self, curve: Curve, *, began: float) -> None:
        """Keep the bar from going back behind a curve that viewers were sent earlier.

        Parameters
        ----------
        curve : Curve
        began : float
            When it was sent, in monotonic seconds.
        """
        self._curve, self._curve_began, self._fresh = curve, began, None

    def update(self, phase: Phase, step: Step | None, *, now: float) -> Estimate:
        """Update the estimate with an event, and return it.

        Parameters
        ----------
        phase : Phase
        step : Step or None
            None if the event does not begin a step.
        now : float
            Monotonic time in seconds.
        """
        if step is not None and step.key in STANDING and phase is self._phase:
            return self._stand(now)
        if self._stood is not None:
            self._go_on(now)
        if phase is not self._phase:
            if phase is Phase.READY:
                return Estimate(100.0, None, 0.0, 0.0, 0.0, 0.0)
            if phase is Phase.FAILED or phase is Phase.CANCELLED:
                return Estimate(round(self._at(now), 3), None, None, None, None, None)
            self._enter(phase, now)
        if step is not None:
            self._observe(step, now)
        fresh = self._fresh
        if fresh is None or now - fresh[0] > FRESH:
            left = self._left(now)
            eta = self._eta(left)
            self._bend(left, now)
            self._fresh, computed = (now, eta), now
        else:
            computed, eta = fresh
        # This runs for each line of a busy log: no loops, and no slow `round`.
        past = now - computed
        middle, low, high, late = eta
        curve = self._curve
        # Only the result is rounded, or the bar would not move between the lines of a busy log.
        at = int(curve.at(now - self._curve_began) * 1000 + 0.5) / 1000
        return Estimate(
            at,
            Curve(from_=at, to=max(at, curve.to), tau=curve.tau),
            int((middle - past) * 10 + 0.5) / 10 if middle > past else 0.0,
            int((low - past) * 10 + 0.5) / 10 if low > past else 0.0,
            int((high - past) * 10 + 0.5) / 10 if high > past else 0.0,
            int((late - past) * 10 + 0.5) / 10 if late > past else 0.0,
        )

    # -- pauses

    def _stand(self, now: float) -> Estimate:
        """Return an estimate for the time in which nothing is known, in which the bar stands."""
        if self._stood is None:
            self._stood = now
        return Estimate(round(self._at(self._stood), 3), None, None, None, None, None)

    def _go_on(self, now: float) -> None:
        """Go on from where the bar stood. The time of the pause does not count."""
        assert self._stood is not None  # noqa: S101 - for the type checker
        pause, self._stood = now - self._stood, None
        self._began += pause
        self._since += pause
        self._phase_began += pause
        self._curve_began += pause
        self._fresh = None

    # -- evidence

    def _enter(self, phase: Phase, now: float) -> None:
        self._phase, self._phase_began, self._step, self._cached = phase, now, None, False
        self._fresh = None
        if phase is Phase.FETCHING:
            self._fetched = True
        elif phase in BUILD_PHASES:
            self._cold = True
        elif phase is not Phase.WAITING and self._cold is None:
            # No phase of a build came before.
            self._cold = False
        self._since = now
        self._counted = {}
        self._times: dict[str, int] = {}
        self._dist = self._phase_dist = self._usual(phase)
        self._pull = self._chance_of_pull() if phase is Phase.LAUNCHING else 0.0
        self._sum_later()

    def _observe(self, step: Step, now: float) -> None:
        """Update the time left of the phase with a step."""
        before = self._step
        if before == step:
            return
        if step.is_place:
            self._stand_in_queue(step, now)
            return
        if before is not None and before.is_place:
            # What the phase took before is nothing compared to the queue.
            self._phase_began = now
        counted = further(self._counted, step)
        if counted is None:
            return
        self._counted = counted
        same = before is not None and _name(before) == _name(step)
        if not same:
            self._cached = before is not None and before.cached
        self._step, self._fresh = step, None
        if self._phase is Phase.LAUNCHING:
            if self._pull and step.key in PULL_STEPS:
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
            # Attack: a log that keeps beginning new steps would fill the memory.
            if len(self._times) < MOST_STEPS or name in self._times:
                self._times[name] = times
        cold = bool(self._cold)
        key = left_key(self._phase, name, max(times, 1), cached=self._cached, cold=cold)
        if step.key == "pulling" and self.pull_time is not None:
            # What is known of the size is better than earlier pulls of other images.
            self._dist = prior
        else:
            self._dist = self._expected.left(key, prior)
        self._since = now

    def _stand_in_queue(self, step: Step, now: float) -> None:
        """Expect the phase to go on when the queue is over. Only who has to build is in one."""
        self._step, self._fresh, self._since, self._cold = step, None, now, True
        left = self.queue_time + self._phase_dist.median
        self._dist = LogNormal(log(max(left, MOMENT)), STEADY)
        self._sum_later()

    def _guess(self, step: Step, now: float) -> LogNormal:
        """Return the time left of the phase at a step that past launches did not have."""
        spent = now - self._phase_began
        duration = self._phase_dist
        if step.key == "pulling":
            pull = self.pull_time or self._expected.pull(LogNormal(log(TYPICAL_PULL), SIGMA))
            return LogNormal(log(pull.median + remaining(duration, spent, 0.5)), pull.sigma)
        if step.key in LAST:
            return LogNormal(log(max(LAST[step.key] * spent, ENDING)), SIGMA)
        if step.key in STILL:
            return LogNormal(duration.mu + log(STILL[step.key]), duration.sigma)
        part = done(self._counted, step)
        if not part:
            return shifted(duration, spent)
        # Combine the usual duration with the one extrapolated from the pace so far, weighted by
        # their precision. The more steps are done, the more the pace counts. It counts little,
        # because steps take very different times.
        pace = log(max(spent, MOMENT) / part)
        pace_precision = part / (1 - part + MOMENT) / PACE**2
        precision = 1 / duration.sigma**2
        mu = (precision * duration.mu + pace_precision * pace) / (precision + pace_precision)
        total = LogNormal(mu, sqrt(1 / (precision + pace_precision)))
        rest = exp(mu) * (1 - part)
        return LogNormal(log(max(rest, MOMENT)), max(total.sigma, SIGMA / 2))

    # -- the time left

    def _usual(self, phase: Phase) -> LogNormal:
        # A phase that was not expected, such as a push, still takes time once it has begun.
        typical = self._expected.typical.get(phase, TYPICAL.get(phase, 0.0))
        prior = LogNormal(log(max(typical, MOMENT)), STEADY if phase is Phase.LAUNCHING else SIGMA)
        if phase is Phase.BUILT:
            return prior
        cold = self._chance_of_cold() > 0.5 if phase is Phase.LAUNCHING else False
        return self._expected.phase(phase, prior, cold=cold)

    def _chance_of_cold(self) -> float:
        """Return the probability that the environment has to be built; 1 if it was."""
        if self._cold is not None:
            return float(self._cold)
        cold = self._expected.cold(CHANCE_OF_BUILD)
        if not self._fetched:
            return cold
        # Most builders fetch a repository only to build it, but some always fetch it.
        warm = (1 - cold) * self._expected.fetches_warm(0.0)
        return cold / (cold + warm) if warm else 1.0

    def _chance(self, phase: Phase) -> float:
        """Return the probability of a later phase."""
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
        # If images are pushed, other machines have to pull them.
        prior = PULL if Phase.PUSHING in self._expected.typical else 0.0
        return self._expected.pulls(bool(self._cold), prior)

    def _sum_later(self) -> None:
        """Add up the times of later phases, which stay the same until the next phase."""
        parts = [
            (chance, self._usual(phase))
            for phase in _EXPECTED
            if _ORDER.index(phase) > _ORDER.index(self._phase) and (chance := self._chance(phase))
        ]
        pull = self._pull
        if self._phase is not Phase.LAUNCHING and Phase.LAUNCHING in self._expected.typical:
            pull = self._chance_of_pull()
        parts.append((pull, self._expected.pull(LogNormal(log(TYPICAL_PULL), SIGMA))))
        median = above = 0.0
        for chance, dist in parts:
            if chance <= 0:
                continue
            typical = dist.median
            up = exp(QUARTILE * dist.sigma)
            # Variance of whether the phase happens at all.
            variance = chance * (1 - chance) * typical * typical
            median += chance * typical
            above += (chance * typical * (up - 1)) ** 2 + variance
        # For the bar, which must not jump when one of the cases is ruled out.
        self._later, self._above = median, sqrt(above)
        cases = self._cases()
        self._later_range = _Range(*(quantile(cases, share) for share in _SHARES))

    def _cases(self) -> list[Case]:
        """Return how the launch may go on: with a build or without, with a pull or without."""
        order = _ORDER.index(self._phase)
        later = [phase for phase in _EXPECTED if _ORDER.index(phase) > order]
        pull = self._pull
        if self._phase is not Phase.LAUNCHING and Phase.LAUNCHING in self._expected.typical:
            pull = self._chance_of_pull()
        image = self._expected.pull(LogNormal(log(TYPICAL_PULL), SIGMA))
        chance_of_cold = self._chance_of_cold()
        cases = []
        for cold, chance in ((True, chance_of_cold), (False, 1 - chance_of_cold)):
            parts = [self._usual(phase) for phase in later if self._is_likely(phase, cold=cold)]
            cases += [
                Case(chance * (1 - pull), total(parts)),
                Case(chance * pull, total([*parts, image])),
            ]
        return [case for case in cases if case.chance > 0]

    def _is_likely(self, phase: Phase, *, cold: bool) -> bool:
        expected = self._expected
        prior = float(phase in expected.typical)
        if phase is Phase.LAUNCHING:
            return prior > 0
        if cold:
            return expected.happens(phase, prior) > 0.5
        return phase is Phase.FETCHING and expected.fetches_warm(0.0) > 0.5

    def _left(self, now: float) -> _Range:
        """Return the time left of the current phase."""
        spent = max(now - self._since, 0.0)
        return _Range(
            *quartiles(self._dist, spent),
            exp(self._dist.mu + NINTH * self._dist.sigma) - spent,
        )

    def _eta(self, left: _Range) -> _Eta:
        """Return the time until ready, from that of the current phase."""
        later = self._later_range
        middle = left.median + later.median
        low = middle - hypot(left.median - left.low, later.median - later.low)
        high = middle + hypot(left.high - left.median, later.high - later.median)
        late = left.late + later.late
        return middle, max(low, 0.0), high, max(late, 0.0)

    # -- the bar

    def _at(self, now: float) -> float:
        return self._curve.at(now - self._curve_began)

    def _bend(self, rest: _Range, now: float) -> None:
        """Set the curve to where the bar will be if no more events come."""
        at, left = self._at(now), rest.median
        elapsed = max(now - self._began, 0.0)
        spent = now - self._since
        ahead = max(left * AHEAD, 0.25)
        middle = left + self._later
        high = middle + hypot(rest.high - left, self._above)
        caution = 1 + CAUTION * (high - middle) / middle if middle > 0 else 1.0

        def share(later: float) -> float:
            remains = remaining(self._dist, spent + later, 0.5) + self._later
            whole = elapsed + later + remains * caution
            return CEILING * (elapsed + later) / whole if whole > 0 else 0.0

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
        self._curve = Curve(from_=here, to=min(max(here, to), CEILING), tau=max(tau, 0.1))
        self._curve_began = now


def _name(step: Step) -> tuple[str, int, str]:
    """Return what identifies a step within its phase."""
    return step.key, step.index, step.digest
