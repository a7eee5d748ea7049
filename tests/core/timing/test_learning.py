from __future__ import annotations

import msgspec
import pytest

from binderprogress.core.phases import Phase
from binderprogress.core.timing.estimate import Left
from binderprogress.core.timing.estimator import TYPICAL
from binderprogress.core.timing.learning import learn
from binderprogress.core.timing.observations import chances, durations
from binderprogress.core.timing.priors import Priors
from binderprogress.core.timing.spans import PastLaunch, Span

LAUNCH = PastLaunch(
    began=0.0,
    provider="git",
    repository="a",
    commit="b",
    outcome=Phase.READY,
    cold=True,
    spans=[
        Span(Phase.FETCHING, 0.0, 5.0),
        Span(Phase.BUILDING, 5.0, 6.0, "step", index=1, total=2, digest="one", cached=True),
        Span(Phase.BUILDING, 6.0, 40.0, "step", index=2, total=2, digest="two"),
        Span(Phase.LAUNCHING, 40.0, 70.0, "pulling"),
        Span(Phase.LAUNCHING, 70.0, 80.0, "starting"),
    ],
)
TOOK = Span(Phase.BUILT, 80.0, 80.0, "standby")
TOLD = Left(8.0, 10.0, 14.0, 20.0)


def corrected(past: PastLaunch) -> set[Phase]:
    """Return the phases whose ranges are corrected after many such launches."""
    priors = Priors()
    for _ in range(60):
        learn(priors, past, TYPICAL)
    return {phase for phase in Phase if priors.calibration.correct(phase, TOLD) != TOLD}


def test_all_phases_of_a_launch_that_became_ready_count() -> None:
    assert corrected(LAUNCH) == {Phase.FETCHING, Phase.BUILDING, Phase.LAUNCHING}


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": Phase.FAILED},
        {"outcome": Phase.CANCELLED},
        {"joined": True},
        {"spans": [Span(Phase.WAITING, 0.0, 90.0, "queued", index=1, total=2), *LAUNCH.spans]},
        {"spans": []},
        {"spans": [*LAUNCH.spans, TOOK]},
    ],
    ids=["failed", "cancelled", "joined a build", "waited in a queue", "empty", "took a server"],
)
def test_others_do_not(change: dict[str, object]) -> None:
    assert not corrected(msgspec.structs.replace(LAUNCH, **change))


def test_times_without_an_estimate_are_left_out() -> None:
    away = [Span(Phase.WAITING, 0.0, 1.0), Span(Phase.WAITING, 1.0, 60.0, "binderhub-away")]
    assert corrected(msgspec.structs.replace(LAUNCH, spans=away)) == {Phase.WAITING}


def test_the_size_of_the_image_is_known_as_it_was_then() -> None:
    def off(image_bytes: int | None) -> Left:
        priors = Priors()
        priors.pulls.add(3_000_000_000, 30.0)
        for _ in range(60):
            learn(priors, msgspec.structs.replace(LAUNCH, image_bytes=image_bytes), TYPICAL)
        return priors.calibration.correct(Phase.LAUNCHING, TOLD)

    # As long as its size says, so only little is corrected.
    assert off(3_000_000_000) != off(None)


def test_a_server_that_stood_ready_says_nothing_about_others() -> None:
    spans = [Span(Phase.WAITING, 0.0, 0.2, "resolving"), Span(Phase.BUILT, 0.2, 0.2, "standby")]
    quick = msgspec.structs.replace(LAUNCH, cold=False, spans=spans)
    assert [*durations(quick)] == [*chances(quick, first=True)] == []
