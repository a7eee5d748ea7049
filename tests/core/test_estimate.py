from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from math import inf, isfinite
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.estimate import CEILING, TYPICAL, Estimate, Estimator, time_left
from binderprogress.core.phases import TERMINAL, TRANSITIONS, Phase
from binderprogress.core.steps import Step, numbered

# What is told is rounded to thousandths of a percent, here and at the beginning of the curve.
ROUNDED = 0.001 + 1e-9

typicals = st.one_of(
    st.just(TYPICAL),
    st.dictionaries(st.sampled_from(list(TYPICAL)), st.sampled_from([0, 1e-9, 0.5, 120, 1e6])),
)
steps = st.one_of(
    st.none(),
    st.just(Step("saving", "Saving the image")),
    # Out of order, and with totals that change: several stages, several builders, hostile logs.
    st.builds(
        lambda index, more, cached: numbered(index, index + more, cached=cached),
        st.integers(1, 60),
        st.integers(0, 60),
        st.booleans(),
    ),
)
advances = st.sampled_from([0.0, 1e-6, 0.3, 5.0, 1000.0, 1e8]) | st.floats(0, 300)


@st.composite
def launches(draw: st.DrawFn) -> list[tuple[Phase, Step | None, float]]:
    """Draw what the events of a launch say: phase, step, seconds since the one before."""
    events, phase = [], Phase.WAITING
    for _ in range(draw(st.integers(1, 40))):
        events.append((phase, draw(steps), draw(advances)))
        if phase in TERMINAL:
            break
        phase = draw(st.sampled_from(sorted(TRANSITIONS[phase] | {phase})))
    return events


@given(launches(), typicals)
def test_a_launch(
    events: list[tuple[Phase, Step | None, float]], typical: Mapping[Phase, float]
) -> None:
    now = 1000.0
    estimator = Estimator(now=now, typical=typical)
    reached = 0.0
    before: Estimate | None = None
    for phase, step, seconds in events:
        now += seconds
        told = estimator.update(phase, step, now=now)
        along = before.curve.at(seconds) if before is not None and before.curve else reached
        # It never goes back: neither from event to event, nor along the curve in between.
        assert told.progress >= reached
        assert told.progress >= along - ROUNDED
        if phase is Phase.READY:
            assert told == (100.0, None, 0.0, 0.0, 0.0)
            return
        # It is never full before that, however long one looks on.
        assert told.progress <= CEILING
        if phase in TERMINAL:
            assert told[1:] == (None, None, None, None)
            assert told.progress == pytest.approx(along, abs=ROUNDED)
            return
        assert told.curve is not None
        assert told.curve.from_ == told.progress
        assert told.curve.from_ <= told.curve.to <= CEILING
        assert told.curve.tau >= 0.1
        assert told.eta is not None
        assert told.low is not None
        assert told.high is not None
        assert 0 <= told.low <= told.eta <= told.high
        assert isfinite(told.high)
        reached, before = told.progress, told


# What both languages make of the same launches; see `docs/development.md`.
SHARED = json.loads((Path(__file__).parents[1] / "data" / "estimates.json").read_text())


@pytest.mark.parametrize("case", SHARED["launches"], ids=[c["name"] for c in SHARED["launches"]])
def test_launches_that_the_browser_estimates_too(case: dict[str, Any]) -> None:
    estimator = Estimator(now=1000.0, typical=case.get("typical", TYPICAL))
    for event in case["events"]:
        given = event.get("step")
        step = numbered(given["index"], given["total"], cached=given["cached"]) if given else None
        told = estimator.update(Phase(event["phase"]), step, now=1000.0 + event["at"])
        curve = told.curve
        said = None if curve is None else {"from": curve.from_, "to": curve.to, "tau": curve.tau}
        assert told.progress == pytest.approx(event["progress"], abs=0.0011)
        assert said == (event["curve"] and pytest.approx(event["curve"], abs=0.0011))
        assert told[2:] == tuple(
            seconds if seconds is None else pytest.approx(seconds, abs=0.11)
            for seconds in (event["eta"], event["low"], event["high"])
        )


@pytest.mark.parametrize("case", SHARED["left"])
def test_time_left_as_in_the_browser(case: dict[str, float]) -> None:
    left = time_left(case["typical"], case["spent"], case["quantile"])
    assert left == pytest.approx(case["left"], rel=1e-4)


def run(estimator: Estimator, *says: Any, start: float = 0.0, every: float = 1.0) -> list[Estimate]:
    """Let events come at equal distances."""
    return [
        estimator.update(*(says_it if isinstance(says_it, tuple) else (says_it, None)), now=now)
        for now, says_it in ((start + count * every, says_it) for count, says_it in enumerate(says))
    ]


def test_each_phase_gets_its_share_of_the_bar() -> None:
    estimator = Estimator(now=0)
    shares = {}
    for count, phase in enumerate(TYPICAL):
        # Long enough for the bar to reach the end of the share of the phase before.
        now = 1e6 * count
        if phase is Phase.LAUNCHING:
            estimator.update(Phase.BUILT, None, now=now)
        told = estimator.update(phase, None, now=now)
        assert told.curve is not None
        shares[phase] = told.curve.to - told.progress
    total = sum(TYPICAL.values())
    assert shares == pytest.approx(
        {phase: CEILING * seconds / total for phase, seconds in TYPICAL.items()}, abs=0.01
    )


def test_an_image_that_is_there_leaves_its_share_to_the_launch() -> None:
    waiting, built, launching = run(
        Estimator(now=0), Phase.WAITING, Phase.BUILT, Phase.LAUNCHING, every=0.01
    )
    assert launching.progress < 1
    assert launching.curve is not None
    assert launching.curve.to == CEILING
    # And the launch is all that is waited for.
    assert waiting.eta is not None
    assert waiting.eta > 100
    assert built.eta == launching.eta == TYPICAL[Phase.LAUNCHING]


def test_a_phase_that_is_skipped_leaves_its_share_to_those_to_come() -> None:
    estimator = Estimator(now=0)
    told = estimator.update(Phase.BUILDING, None, now=0)
    assert told.progress == 0
    assert told.curve is not None
    assert told.curve.to == pytest.approx(CEILING * 120 / 150)


def test_between_two_phases_the_bar_stands() -> None:
    (told,) = run(Estimator(now=0), Phase.BUILT)
    assert told.curve is not None
    assert told.curve.to == told.progress
    # Also where no launching is expected: it may come all the same, and needs its share then.
    built, launching = run(
        Estimator(now=0, typical={Phase.BUILDING: 5}), Phase.BUILT, Phase.LAUNCHING
    )
    assert built.curve is not None
    assert launching.curve is not None
    assert built.curve.to == built.progress < 5
    assert launching.curve.to == CEILING


def test_a_phase_that_nobody_expected_has_its_usual_length() -> None:
    without = {phase: s for phase, s in TYPICAL.items() if phase is not Phase.PUSHING}
    building, pushing = run(Estimator(now=0, typical=without), Phase.BUILDING, Phase.PUSHING)
    assert building.eta == pytest.approx(130, abs=0.1)
    assert pushing.eta == pytest.approx(30, abs=0.1)
    assert pushing.curve is not None
    assert pushing.curve.to - pushing.progress == pytest.approx(
        (CEILING - pushing.progress) * 20 / 30, abs=0.001
    )


def test_at_its_usual_length_a_phase_has_covered_two_thirds_of_its_share() -> None:
    (told,) = run(Estimator(now=0), Phase.BUILDING)
    assert told.curve is not None
    assert told.curve.at(TYPICAL[Phase.BUILDING]) / told.curve.to == pytest.approx(0.632, abs=0.001)


def test_what_takes_three_times_as_long_as_usual_does_not_stand_still_at_the_end() -> None:
    """A stall late in the bar is what people like least (Harrison et al. 2007)."""
    estimator = Estimator(now=0.0)
    [told] = run(estimator, Phase.LAUNCHING)
    assert told.curve is not None
    usual = TYPICAL[Phase.LAUNCHING]
    seconds = [part * usual / 10 for part in range(1, 31)]
    moved = [told.curve.at(b) - told.curve.at(a) for a, b in pairwise(seconds)]
    # A tenth of the usual time: at least a pixel of a bar of 400.
    assert min(moved) > 0.25
    assert moved == sorted(moved, reverse=True)


def test_a_busy_log_does_not_hold_the_bar() -> None:
    # Rounded with each of its lines, the bar would stand as long as they come.
    quiet, busy = Estimator(now=0), Estimator(now=0)
    for estimator in (quiet, busy):
        estimator.update(Phase.BUILDING, None, now=0)
    for count in range(60_000):
        busy.update(Phase.BUILDING, None, now=count / 1000)
    one, other = (e.update(Phase.BUILDING, None, now=60) for e in (quiet, busy))
    assert one == other
    assert one.progress > 25


STEPS: dict[str, tuple[list[Step], float, float]] = {
    # The steps, then the part of the phase's share where the bar stands, and the one it goes to.
    "the first": ([numbered(1, 10)], 0, 0.1),
    "one after the other": ([numbered(1, 10), numbered(2, 10)], 0.1, 0.2),
    "the seventh at once": ([numbered(7, 10)], 0.6, 0.7),
    "a cached one is over": ([numbered(7, 10, cached=True)], 0.7, 0.8),
    "the last one, cached": ([numbered(10, 10, cached=True)], 1, 1),
    "first begun, then cached": ([numbered(3, 10), numbered(3, 10, cached=True)], 0.3, 0.4),
    "one that comes late": ([numbered(7, 10), numbered(3, 10)], 0.6, 0.7),
    "a smaller total": ([numbered(7, 10), numbered(8, 8)], 0.6, 0.7),
    "a larger total": ([numbered(7, 10), numbered(8, 20)], 0.6, 0.6),
    "a larger total, further on": ([numbered(1, 2), numbered(19, 20)], 0.9, 0.95),
    "one without a number": ([numbered(7, 10), Step("saving", "Saving the image")], 0.6, 0.7),
}


@pytest.mark.parametrize(("given", "at", "to"), STEPS.values(), ids=STEPS)
def test_numbered_steps_pin_the_bar_down(given: list[Step], at: float, to: float) -> None:
    estimator = Estimator(now=0, typical={Phase.BUILDING: 90, Phase.LAUNCHING: 9})
    told = run(estimator, *[(Phase.BUILDING, step) for step in given], every=0)[-1]
    assert told.curve is not None
    assert told.progress == pytest.approx(90 * at)
    assert told.curve.to == pytest.approx(90 * to)


def test_a_new_phase_forgets_the_steps_of_the_one_before() -> None:
    estimator = Estimator(now=0)
    run(estimator, (Phase.BUILDING, numbered(9, 10)), Phase.PUSHING, every=0)
    told = estimator.update(Phase.PUSHING, numbered(1, 2), now=0)
    assert told.curve is not None
    assert told.curve.to > told.progress


def test_the_pace_of_the_steps_counts_more_than_what_is_usual() -> None:
    def eta(seconds: float) -> float:
        estimator = Estimator(now=0, typical={Phase.BUILDING: 100})
        run(estimator, (Phase.BUILDING, numbered(1, 10)), every=0)
        told = estimator.update(Phase.BUILDING, numbered(6, 10), now=seconds)
        assert told.eta is not None
        return told.eta

    assert eta(5) < 30 < eta(50) == 50 < eta(500)


def test_a_first_step_that_takes_long_is_waited_for_longer() -> None:
    estimator = Estimator(now=0)
    etas = [
        estimator.update(Phase.BUILDING, numbered(1, 10), now=now).eta
        for now in (0, 60, 1000, 10_000, 100_000)
    ]
    assert etas[1] < etas[0]
    assert etas[2:] == sorted(etas[2:])
    assert etas[2] > etas[1]


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.CANCELLED])
def test_a_bad_end_stops_the_bar_where_it_is(phase: Phase) -> None:
    estimator = Estimator(now=0)
    told = estimator.update(Phase.BUILDING, None, now=0)
    assert told.curve is not None
    stopped = estimator.update(phase, None, now=30)
    assert stopped == (round(told.curve.at(30), 3), None, None, None, None)


def test_ready_is_exactly_full_from_anywhere() -> None:
    for phase in Phase:
        if Phase.READY in TRANSITIONS[phase]:
            estimator = Estimator(now=0)
            estimator.update(phase, None, now=0)
            assert estimator.update(Phase.READY, None, now=0).progress == 100


def test_a_copy_goes_its_own_way() -> None:
    # A build is shared; each launch goes on from it.
    estimator = Estimator(now=0)
    estimator.update(Phase.BUILDING, numbered(5, 10), now=3)
    other = estimator.copy()
    alike = estimator.copy()
    other.update(Phase.BUILDING, numbered(9, 10), now=4)
    other.update(Phase.BUILT, None, now=5)
    other.update(Phase.LAUNCHING, None, now=6)
    assert estimator.update(Phase.BUILDING, None, now=7) == alike.update(
        Phase.BUILDING, None, now=7
    )


def test_the_callers_table_is_its_own() -> None:
    typical = {Phase.BUILDING: 10.0}
    estimator = Estimator(now=0, typical=typical)
    typical.clear()
    assert estimator.update(Phase.BUILDING, None, now=0).eta == 10


# What is left -------------------------------------------------------------------------------------

durations = st.sampled_from([1e-300, 1e-9, 1.0, 15.0, 1e9]) | st.floats(1e-9, 1e9)
spents = st.sampled_from([0.0, 1e-300, 1e-9, 1.0, 600.0, 1e9, 1e12]) | st.floats(0, 1e9)
quantiles = st.floats(0, 1, exclude_min=True, exclude_max=True)


@given(durations, spents, st.lists(quantiles, min_size=2))
def test_time_left_grows_with_the_quantile(
    typical: float, spent: float, given: list[float]
) -> None:
    left = [time_left(typical, spent, quantile) for quantile in sorted(given)]
    assert all(0 <= seconds < inf for seconds in left)
    # Seconds that are left are a small difference of large numbers.
    slack = 1e-9 * (typical + spent)
    assert all(after >= before - slack for before, after in pairwise(left))


@given(st.floats(0.01, 1e4), st.floats(3, 1e9), st.floats(1.01, 100))
def test_what_takes_longer_than_usual_is_waited_for_longer(
    typical: float, times: float, more: float
) -> None:
    late, later = typical * times, typical * times * more
    for quantile in (0.25, 0.5, 0.75):
        assert 0 < time_left(typical, late, quantile) < time_left(typical, later, quantile)


@given(st.floats(0.01, 1e6), st.floats(0, 0.2))
def test_what_is_on_time_is_waited_for_less(typical: float, part: float) -> None:
    assert time_left(typical, typical * (part + 0.05)) < time_left(typical, typical * part)


# typical, spent, quantile, seconds; by numerical integration of the log-normal's density.
LEFT = [
    (1.0, 0.0, 0.5, 1.0),
    (120.0, 0.0, 0.5, 120.0),
    (1.0, 0.0, 0.25, 0.544961),
    (1.0, 0.0, 0.75, 1.834993),
    (1.0, 1.0, 0.5, 0.834993),
    (10.0, 100.0, 0.5, 23.264294),
    (0.0, 5.0, 0.5, 0.0),
    (-1.0, 0.0, 0.5, 0.0),
]


@pytest.mark.parametrize(("typical", "spent", "quantile", "seconds"), LEFT)
def test_time_left(typical: float, spent: float, quantile: float, seconds: float) -> None:
    assert time_left(typical, spent, quantile) == pytest.approx(seconds, abs=1e-6)


def test_ten_minutes_in_a_queue_of_usually_a_second() -> None:
    # Where 1 - Φ(z) has no digits left, a naive formula says: any moment now.
    assert 30 < time_left(1.0, 600.0) < 100


def test_far_beyond_what_is_usual_nothing_jumps() -> None:
    # Where inv_cdf() gives way to the tail's exponential.
    waits = [time_left(1.0, 1.3**power) for power in range(10, 200)]
    ratios = [after / before for before, after in pairwise(waits)]
    assert all(1 < ratio < 1.4 for ratio in ratios)
    assert all(abs(after - before) < 0.02 for before, after in pairwise(ratios))


def test_a_narrower_spread_is_surer() -> None:
    def width(sigma: float) -> float:
        return time_left(10, 0, 0.75, sigma=sigma) - time_left(10, 0, 0.25, sigma=sigma)

    assert 0 < width(0.1) < width(0.5) < width(1.5)
