"""A first estimator: asymptotic inside phases, with renormalised weights.

Each phase gets the share of what is left of the bar that its typical duration has among the
phases still to come. Phases that are skipped therefore leave their share to the others, and the
bar never goes back. Within its share the bar approaches the end and never reaches it; numbered
steps pin it down. How long it takes is a log-normal with a wide spread, since nothing is known of
the repository yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from math import erfc, exp, log, sqrt
from statistics import NormalDist
from typing import NamedTuple

from .events import Curve
from .phases import Phase
from .steps import Step

__all__ = ["CEILING", "SIGMA", "TYPICAL", "Estimate", "Estimator", "time_left"]

CEILING = 99.0
"""Where the bar may come to before `ready`, in percent."""

TYPICAL: Mapping[Phase, float] = {
    Phase.WAITING: 1.0,
    Phase.FETCHING: 4.0,
    Phase.BUILDING: 120.0,
    Phase.PUSHING: 20.0,
    Phase.LAUNCHING: 10.0,
}
"""Seconds that a phase takes where nothing better is known; builders bring their own."""

_ORDER = list(Phase)
SIGMA = 0.9
"""Spread of ln(duration): launches of unknown repositories differ by a factor of about 2.5."""

_NORMAL = NormalDist()
# inv_cdf() works in between; below, a normal's tail is as good as exponential.
_LEAST, _MOST = 1e-300, 1 - 1e-16


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
    """

    progress: float
    curve: Curve | None
    eta: float | None
    low: float | None
    high: float | None


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
    mu = log(typical)
    # Tails, since far beyond what is usual 1 - Φ(z) would have no digits left.
    z = (log(spent) - mu) / sigma if spent > 0 else None
    tail = (erfc(z / sqrt(2)) / 2 if z is not None else 1.0) * (1 - quantile)
    if z is not None and tail < _LEAST:
        at = z - log(1 - quantile) / z
    else:
        at = -_NORMAL.inv_cdf(min(tail, _MOST))
    return max(exp(mu + sigma * at) - spent, 0.0)


class Estimator:
    """Says where the bar stands, from phases, steps and the time that passes.

    Parameters
    ----------
    now : float
        Monotonic seconds, as in every call that follows.
    typical : mapping of Phase to float
        Seconds per phase; phases that are left out are not expected.
    """

    def __init__(self, *, now: float, typical: Mapping[Phase, float] = TYPICAL) -> None:
        self._typical = dict(typical)
        self._phase = Phase.WAITING
        self._phase_began = now
        self._step: Step | None = None
        self._curve = Curve(from_=0.0, to=0.0, tau=1.0)
        self._curve_began = now
        self._span = (0.0, 0.0)
        self._enter(Phase.WAITING, now)

    def copy(self) -> Estimator:
        """Return another that goes its own way from here."""
        return copy(self)

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
            return Estimate(100.0, None, 0.0, 0.0, 0.0)
        if phase in {Phase.FAILED, Phase.CANCELLED}:
            return Estimate(round(self._at(now), 3), None, None, None, None)
        if phase is not self._phase:
            self._enter(phase, now)
        if step is not None and step.total:
            self._enter_step(step, now)
        # An exponential approach that is begun anew from where it stands is the same approach. Ours
        # is kept as it is: rounded with every line of a busy log, it would not move at all.
        progress = round(self._at(now), 3)
        curve = Curve(from_=progress, to=max(progress, self._curve.to), tau=self._curve.tau)
        left = [self._left(quantile, now) for quantile in (0.5, 0.25, 0.75)]
        return Estimate(progress, curve, *(round(value, 1) for value in left))

    def _at(self, now: float) -> float:
        return self._curve.at(now - self._curve_began)

    def _rebase(self, to: float, tau: float, now: float) -> None:
        from_ = self._at(now)
        self._curve = Curve(from_=from_, to=max(from_, to), tau=max(tau, 0.1))
        self._curve_began = now

    @property
    def _own(self) -> float:
        # A phase that nobody expected (a push) is not worth nothing once it is there.
        return self._typical.get(self._phase, TYPICAL.get(self._phase, 0.0))

    def _later(self, phase: Phase) -> list[Phase]:
        return [p for p in _ORDER[_ORDER.index(phase) + 1 :] if p in self._typical]

    def _enter(self, phase: Phase, now: float) -> None:
        self._phase, self._phase_began, self._step = phase, now, None
        own = self._own
        total = own + sum(self._typical[p] for p in self._later(phase))
        from_ = self._at(now)
        to = from_ + (CEILING - from_) * (own / total if total else 0.0)
        self._span = (from_, max(from_, to))
        # At its typical duration the bar has covered 63% of the phase's share: what has taken its
        # median has about as much before it, and a bar that stalls late is what people like least
        # (Harrison et al., Rethinking the Progress Bar, 2007).
        self._rebase(self._span[1], own, now)

    def _enter_step(self, step: Step, now: float) -> None:
        # buildx runs steps side by side and tells of cached ones late: only forward counts.
        if self._step is not None and (
            step.index < self._step.index or self._step.total > step.total
        ):
            return
        self._step = step
        low, high = self._span
        done = step.index if step.cached else step.index - 1
        at = low + (high - low) * done / step.total
        to = low + (high - low) * min(done + 1, step.total) / step.total
        if at > self._at(now):
            self._curve = Curve(from_=at, to=at, tau=1.0)
            self._curve_began = now
        self._rebase(to, self._own / step.total, now)

    def _left(self, quantile: float, now: float) -> float:
        spent = now - self._phase_began
        typical = self._own
        step = self._step
        done = 0.0
        if step is not None:
            done = (step.index if step.cached else step.index - 1) / step.total
        if done:
            # The mean of what is usual and of what the pace so far (spent / done) makes of it; the
            # more steps are done, the more their pace counts.
            whole = typical * (1 - done) + spent
            left = time_left(whole * (1 - done), 0.0, quantile)
        else:
            left = time_left(typical, spent, quantile)
        return left + sum(
            time_left(self._typical[p], 0.0, quantile) for p in self._later(self._phase)
        )
