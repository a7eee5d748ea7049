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
from math import exp, log
from statistics import NormalDist
from typing import NamedTuple

from .events import Curve
from .phases import Phase
from .steps import Step

__all__ = ["CEILING", "TYPICAL", "Estimate", "Estimator", "time_left"]

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
_SIGMA = 0.9
"""Spread of ln(duration): launches of unknown repositories differ by a factor of about 2.5."""

_NORMAL = NormalDist()
# Beyond this, 1 - Φ(z) has no digits left.
_MOST = 1 - 1e-12


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
    typical: float, spent: float, quantile: float = 0.5, *, sigma: float = _SIGMA
) -> float:
    """Return a quantile of the seconds that are left of something that has taken `spent` so far.

    Parameters
    ----------
    typical : float
        Its median duration, in seconds; its logarithm is taken to be normal.
    spent : float
        Seconds so far.
    quantile : float
        Between 0 and 1.
    sigma : float
        The spread of the logarithm.

    Notes
    -----
    The quantile is the conditional one, given that it has not ended yet: for the median
    ``exp(μ + σ·Φ⁻¹((1 + Φ(z))/2)) − spent`` with ``z = (ln spent − μ)/σ``. It grows when something
    takes longer than usual, as it should.
    """
    mu = log(typical)
    over = _NORMAL.cdf((log(spent) - mu) / sigma) if spent > 0 else 0.0
    rank = min(over + quantile * (1 - over), _MOST)
    return max(exp(mu + sigma * _NORMAL.inv_cdf(rank)) - spent, 0.0)


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
            return Estimate(self._at(now), None, None, None, None)
        if phase is not self._phase:
            self._enter(phase, now)
        if step is not None and step.total:
            self._enter_step(step, now)
        self._rebase(self._curve.to, self._curve.tau, now)
        left = [self._left(quantile, now) for quantile in (0.5, 0.25, 0.75)]
        return Estimate(self._curve.from_, self._curve, *(round(value, 1) for value in left))

    def _at(self, now: float) -> float:
        return round(self._curve.at(now - self._curve_began), 3)

    def _rebase(self, to: float, tau: float, now: float) -> None:
        # An exponential approach that is begun anew from where it stands is the same approach.
        from_ = self._at(now)
        self._curve = Curve(from_=from_, to=max(from_, to), tau=max(tau, 0.1))
        self._curve_began = now

    def _expected(self, phase: Phase) -> float:
        return self._typical.get(phase, 0.0)

    def _later(self, phase: Phase) -> list[Phase]:
        return [p for p in _ORDER[_ORDER.index(phase) + 1 :] if p in self._typical]

    def _enter(self, phase: Phase, now: float) -> None:
        self._phase, self._phase_began, self._step = phase, now, None
        # A phase that nobody expected (a push) is not worth nothing once it is there.
        own = self._typical.get(phase, TYPICAL.get(phase, 0.0))
        total = own + sum(self._expected(p) for p in self._later(phase))
        from_ = self._at(now)
        to = from_ + (CEILING - from_) * (own / total if total else 1.0)
        self._span = (from_, max(from_, to))
        # At its typical duration the bar has covered 86% of the phase's share.
        self._rebase(self._span[1], own / 2, now)

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
            self._curve = Curve(from_=round(at, 3), to=round(at, 3), tau=1.0)
            self._curve_began = now
        self._rebase(to, self._expected(self._phase) / step.total, now)

    def _left(self, quantile: float, now: float) -> float:
        spent = now - self._phase_began
        typical = self._expected(self._phase)
        left = 0.0
        if self._step is not None and self._step.total:
            done = self._step.index if self._step.cached else self._step.index - 1
            share = 1 - done / self._step.total
            # What the steps so far took, as far as there are any, tells more than what is usual.
            pace = spent / done * self._step.total if done else typical
            typical = (typical * share + pace * (1 - share)) or typical
            left = time_left(typical * share, 0.0, quantile) if typical and share else 0.0
        elif typical:
            left = time_left(typical, spent, quantile)
        return left + sum(
            time_left(self._expected(p), 0.0, quantile) for p in self._later(self._phase)
        )
