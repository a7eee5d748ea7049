"""Learning from finished launches: how long they take, and how far estimates of them were off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from ..log.steps import Step
from ..phases import Phase
from .calibration import Calibration
from .estimate import Left
from .estimator import Estimator
from .observations import BUILD_PHASES
from .priors import Expectation, Place, Priors
from .spans import PastLaunch, Span

__all__ = ["learn"]

_LEAST_SHARE = 0.01
"""Estimates that were shown for a smaller part of a launch are left out."""

_MOST_LOOKS = 4
"""How often a long step of a build is looked at: its log goes on, and the estimate with it."""

_EVERY = 2.0
"""Seconds between these looks, at least."""


def learn(
    priors: Priors, past: PastLaunch, typical: Mapping[Phase, float], *, first_start: float = 1.0
) -> None:
    """Learn from a finished launch, and from how well it could be estimated.

    It is estimated again with what was known of earlier ones. This takes about as long as ten times
    `Priors.add`, which learns the durations only.

    Parameters
    ----------
    priors : Priors
    past : PastLaunch
    typical, first_start
        As of `Priors.about`.
    """
    # How long it waits in a queue, or for a build that others have begun, is not learned.
    is_usual = not (past.joined or past.took_standby or any(s.is_place for s in past.spans))
    if past.outcome is Phase.READY and is_usual:
        place = Place(past.host, past.repository, past.commit or past.ref)
        expected = Expectation(priors, place, typical, first_start=first_start, correct=False)
        estimator = Estimator(now=0.0, expectation=expected)
        if past.image_bytes:
            estimator.pull_time = priors.pulls.expect(past.image_bytes)
        _calibrate(priors.calibration, estimator, past)
    priors.add(past)


def _calibrate(calibration: Calibration, estimator: Estimator, past: PastLaunch) -> None:
    """Note how far the estimates of a launch are off."""
    total = past.seconds
    shown: tuple[Phase, Left, float] | None = None
    for phase, step, at in [*_updates(past.spans), (Phase.READY, None, total)]:
        if shown is not None:
            before, told, since = shown
            if at - since > _LEAST_SHARE * total:
                calibration.add(before, told, total - since, (at - since) / total)
        told_now = estimator.update(phase, step, now=at)
        eta, low, high, latest = told_now.eta, told_now.low, told_now.high, told_now.latest
        if eta is None or low is None or high is None or latest is None:
            shown = None
        else:
            shown = phase, Left(low, eta, high, latest), at


def _updates(spans: list[Span]) -> Iterator[tuple[Phase, Step | None, float]]:
    """Yield what an estimator is told of a launch."""
    for span in spans:
        step = Step(key=span.step, label="", index=span.index, total=span.total, digest=span.digest)
        yield span.phase, step if span.step else None, span.start
        if span.phase in BUILD_PHASES:
            looks = min(int(span.seconds / _EVERY), _MOST_LOOKS)
            for look in range(1, looks + 1):
                yield span.phase, None, span.start + span.seconds * look / (looks + 1)
        if span.cached:
            yield span.phase, msgspec.structs.replace(step, cached=True), span.end
