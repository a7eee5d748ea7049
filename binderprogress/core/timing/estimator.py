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

from ..events import Curve
from ..log.step_progress import Counted, done, further
from ..log.steps import BINDERHUB_AWAY, Step
from ..phases import Phase
from .bar import CEILING, bend
from .estimate import Estimate, Left
from .lognormal import NINTH, SIGMA, LogNormal, quantiles, remaining, shifted, time_left
from .observations import BUILD_PHASES, left_key
from .outlook import MOMENT, STEADY, TYPICAL, Outlook
from .priors import Expectation, Place

__all__ = ["CEILING", "SIGMA", "TYPICAL", "Estimate", "Estimator", "time_left"]

PACE = 1.5
"""Standard deviation, in logarithms, of a duration that is extrapolated from half of the steps."""

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


_Told = tuple[float, int, int, int, int, int]
"""When it was computed, and then tenths of a second until ready: median, quartiles, ninth decile,
and until it is late."""


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
        self._outlook = Outlook(expectation)
        self._began = now
        self._phase = Phase.WAITING
        self._cold: bool | None = None
        self._cached = False
        self._fetched = False
        self._step: Step | None = None
        self._counted: Counted = {}
        self._curve = Curve(from_=0.0, to=0.0, tau=1.0)
        self._curve_began = now
        self._fresh: _Told | None = None
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
                return Estimate(100.0, None, 0.0, 0.0, 0.0, 0.0, 0.0)
            if phase is Phase.FAILED or phase is Phase.CANCELLED:
                return Estimate(round(self._at(now), 3), None, None, None, None, None, None)
            self._enter(phase, now)
        if step is not None:
            self._observe(step, now)
        fresh = self._fresh
        if fresh is None or now - fresh[0] > FRESH:
            fresh = self._fresh = self._compute(now)
        # This runs for each line of a busy log: no loops, and no slow `round`.
        computed, middle, low, high, latest, late = fresh
        past = int((now - computed) * 10 + 0.5)
        curve = self._curve
        # Only the result is rounded, or the bar would not move between the lines of a busy log.
        at = int(curve.at(now - self._curve_began) * 1000 + 0.5) / 1000
        return Estimate(
            at,
            Curve(from_=at, to=max(at, curve.to), tau=curve.tau),
            (middle - past) / 10 if middle > past else 0.0,
            (low - past) / 10 if low > past else 0.0,
            (high - past) / 10 if high > past else 0.0,
            (latest - past) / 10 if latest > past else 0.0,
            (late - past) / 10 if late > past else 0.0,
        )

    # -- pauses

    def _stand(self, now: float) -> Estimate:
        """Return an estimate for the time in which nothing is known, in which the bar stands."""
        if self._stood is None:
            self._stood = now
        return Estimate(round(self._at(self._stood), 3), None, None, None, None, None, None)

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
        cold = self._chance_of_cold()
        self._dist = self._phase_dist = self._outlook.usual(phase, cold=cold > 0.5)
        self._pull = self._chance_of_pull() if phase is Phase.LAUNCHING else 0.0
        self._look_ahead()

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
                self._look_ahead()
        elif step.key == REUSED:
            self._cold = False
            self._look_ahead()
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
        self._look_ahead()

    def _guess(self, step: Step, now: float) -> LogNormal:
        """Return the time left of the phase at a step that past launches did not have."""
        spent = now - self._phase_began
        duration = self._phase_dist
        if step.key == "pulling":
            pull = self.pull_time or self._outlook.pull()
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

    def _chance_of_cold(self) -> float:
        """Return the probability that the environment has to be built; 1 if it was."""
        if self._cold is not None:
            return float(self._cold)
        return self._outlook.chance_of_cold(fetched=self._fetched)

    def _chance_of_pull(self) -> float:
        return self._outlook.chance_of_pull(cold=bool(self._cold))

    def _look_ahead(self) -> None:
        """Note the times of later phases, which stay the same until the next phase."""
        pull = self._pull
        if self._phase is not Phase.LAUNCHING and self._outlook.has_launch:
            pull = self._chance_of_pull()
        self._later = self._outlook.after(self._phase, cold=self._chance_of_cold(), pull=pull)

    def _compute(self, now: float) -> _Told:
        """Bend the bar, and return the time left."""
        spent = max(now - self._since, 0.0)
        dist, later = self._dist, self._later
        left = quantiles(dist, spent)
        self._curve = bend(
            self._at(now),
            dist,
            spent=now - self._since,
            elapsed=max(now - self._began, 0.0),
            left=left.median,
            high=left.high,
            later=later.mean,
            above=later.above,
        )
        self._curve_began = now
        after = later.left
        middle = left.median + after.median
        low = middle - hypot(left.median - left.low, after.median - after.low)
        high = middle + hypot(left.high - left.median, after.high - after.median)
        latest = middle + hypot(left.latest - left.median, after.latest - after.median)
        late = exp(dist.mu + NINTH * dist.sigma) - spent + after.latest
        told = Left(max(low, 0.0), middle, high, max(latest, high))
        low, middle, high, latest = self._expected.corrected(self._phase, told)
        return (
            now,
            int(middle * 10 + 0.5),
            int(low * 10 + 0.5),
            int(high * 10 + 0.5),
            int(latest * 10 + 0.5),
            int(late * 10 + 0.5) if late > 0 else 0,
        )

    def _at(self, now: float) -> float:
        return self._curve.at(now - self._curve_began)


def _name(step: Step) -> tuple[str, int, str]:
    """Return what identifies a step within its phase."""
    return step.key, step.index, step.digest
