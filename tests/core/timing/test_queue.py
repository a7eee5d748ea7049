"""What the estimator makes of a place in the queue of builds."""

from __future__ import annotations

import pytest

from binderprogress.core.build_queue import place_step
from binderprogress.core.log.steps import Step
from binderprogress.core.phases import Phase
from binderprogress.core.timing.build_seconds import build_seconds
from binderprogress.core.timing.estimator import Estimator
from binderprogress.core.timing.observations import durations
from binderprogress.core.timing.priors import Expectation, Place
from binderprogress.core.timing.spans import PastLaunch, Span

TYPICAL = {Phase.WAITING: 1.0, Phase.FETCHING: 4.0, Phase.BUILDING: 60.0, Phase.LAUNCHING: 5.0}
LOOKING = Step("looking", "Checking")


def test_the_time_left_includes_the_queue() -> None:
    estimator = Estimator(now=0.0, expectation=TYPICAL)
    before = estimator.update(Phase.WAITING, LOOKING, now=0.0)
    estimator.queue_time = 300.0
    queued = estimator.update(Phase.WAITING, place_step(3), now=0.1)
    assert before.eta is not None
    assert queued.eta is not None
    # A build is certain now.
    assert queued.eta == pytest.approx(300.0 + 1.0 + 4.0 + 60.0 + 5.0, abs=3.0)
    later = estimator.update(Phase.WAITING, None, now=100.0)
    assert later.eta is not None
    assert 150.0 < later.eta < queued.eta - 60.0
    # Each place has an expectation of its own, and the bar does not go back.
    estimator.queue_time = 400.0
    second = estimator.update(Phase.WAITING, place_step(2), now=200.0)
    assert second.eta == pytest.approx(470.0, abs=3.0)
    assert second.progress >= later.progress
    begun = estimator.update(Phase.WAITING, LOOKING, now=250.0)
    assert begun.eta == pytest.approx(70.0, abs=8.0)
    assert begun.progress >= second.progress


def past(*spans: Span) -> PastLaunch:
    return PastLaunch(
        began=0.0,
        provider="gh",
        repository="r",
        outcome=Phase.READY,
        cold=True,
        spans=list(spans),
    )


def test_nothing_is_learned_from_the_time_in_the_queue() -> None:
    waiting = Phase.WAITING
    launch = past(
        Span(waiting, 0.0, 1.0, step="looking"),
        Span(waiting, 1.0, 50.0, step="queued", index=2, total=2),
        Span(waiting, 50.0, 90.0, step="queued", index=1, total=1),
        Span(waiting, 90.0, 92.0, step="looking"),
        Span(Phase.FETCHING, 92.0, 95.0, step="cloning"),
    )
    found = {key: seconds for key, seconds, _ in durations(launch)}
    assert found[("phase", waiting, "")] == pytest.approx(3.0)
    left = {key[2]: seconds for key, seconds in found.items() if key[:2] == ("left", waiting)}
    assert left == {"looking": pytest.approx(2.0)}
    # That of a BinderHub is all that is known of it.
    launch = past(Span(waiting, 0.0, 50.0, step="queued"), Span(Phase.FETCHING, 50.0, 51.0))
    found = {key: seconds for key, seconds, _ in durations(launch)}
    assert found[("phase", waiting, "")] == pytest.approx(50.0)


def test_the_expected_time_of_a_build() -> None:
    assert build_seconds(Expectation(None, Place(), TYPICAL)) == pytest.approx(64.0)
    pushed = {**TYPICAL, Phase.PUSHING: 20.0}
    assert build_seconds(Expectation(None, Place(), pushed)) == pytest.approx(84.0)
