from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from math import inf, isfinite, log
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.events import Curve
from binderprogress.core.log.steps import BINDERHUB_AWAY, Step, numbered
from binderprogress.core.phases import TERMINAL, TRANSITIONS, Phase
from binderprogress.core.timing.estimator import (
    CEILING,
    MOST_STEPS,
    TYPICAL,
    Estimate,
    Estimator,
    time_left,
)
from binderprogress.core.timing.lognormal import SIGMA, LogNormal
from binderprogress.core.timing.mixture import Case, total
from binderprogress.core.timing.mixture import quantile as quantile_of
from binderprogress.core.timing.outlook import PULL, STEADY
from binderprogress.core.timing.priors import TYPICAL_PULL

# What is told is rounded to thousandths of a percent, here and at the beginning of the curve.
ROUNDED = 0.001 + 1e-9

typicals = st.one_of(
    st.just(TYPICAL),
    st.dictionaries(st.sampled_from(list(TYPICAL)), st.sampled_from([0, 1e-9, 0.5, 120, 1e6])),
)
steps = st.one_of(
    st.none(),
    st.just(Step("saving", "Saving the image")),
    st.just(BINDERHUB_AWAY),
    st.builds(
        lambda key, index, more, existing: Step(key, "", index, index + more, existing=existing),
        st.sampled_from(["pushing", "pulling-base"]),
        st.integers(1, 20),
        st.integers(0, 20),
        st.integers(0, 20),
    ),
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
    """Generate the events of a launch: phase, step, seconds since the previous one."""
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
    estimator = Estimator(now=now, expectation=typical)
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
            assert told == (100.0, None, 0.0, 0.0, 0.0, 0.0, 0.0)
            return
        # It is never full before that, however long one looks on.
        assert told.progress <= CEILING
        if phase in TERMINAL:
            assert told[1:] == (None,) * 6
            assert told.progress == pytest.approx(along, abs=ROUNDED)
            return
        if step == BINDERHUB_AWAY and told.curve is None:
            assert told[2:] == (None,) * 5
            reached, before = told.progress, told
            continue
        assert told.curve is not None
        assert told.curve.from_ == told.progress
        assert told.curve.from_ <= told.curve.to <= CEILING
        assert told.curve.tau >= 0.1
        assert told.eta is not None
        assert told.low is not None
        assert told.high is not None
        assert told.latest is not None
        assert 0 <= told.low <= told.eta <= told.high <= told.latest
        assert isfinite(told.latest)
        assert told.late is not None
        assert 0 <= told.late < inf
        reached, before = told.progress, told


# What both languages make of the same launches; see `docs/development.md`.
# The names of the browser that differ from ours.
_FIELDS = {"there": "existing"}
SHARED = json.loads((Path(__file__).parents[2] / "data" / "estimates.json").read_text())


@pytest.mark.parametrize("case", SHARED["launches"], ids=[c["name"] for c in SHARED["launches"]])
def test_launches_that_the_browser_estimates_too(case: dict[str, Any]) -> None:
    estimator = Estimator(now=1000.0, expectation=case.get("typical", TYPICAL))
    for event in case["events"]:
        given = event.get("step")
        fields = {_FIELDS.get(name, name): value for name, value in (given or {}).items()}
        step = Step(**{"key": "step", "label": "", **fields}) if given else None
        told = estimator.update(Phase(event["phase"]), step, now=1000.0 + event["at"])
        curve = told.curve
        said = None if curve is None else {"from": curve.from_, "to": curve.to, "tau": curve.tau}
        assert told.progress == pytest.approx(event["progress"], abs=0.0011)
        assert said == (event["curve"] and pytest.approx(event["curve"], abs=0.0011))
        assert told[2:] == tuple(
            seconds if seconds is None else pytest.approx(seconds, abs=0.11)
            for seconds in [event[name] for name in ("eta", "low", "high", "latest", "late")]
        )


@pytest.mark.parametrize("case", SHARED["left"])
def test_time_left_as_in_the_browser(case: dict[str, float]) -> None:
    left = time_left(case["typical"], case["spent"], case["quantile"])
    assert left == pytest.approx(case["left"], rel=1e-4)


def run(estimator: Estimator, *says: Any, start: float = 0.0, every: float = 1.0) -> list[Estimate]:
    """Send events at equal intervals."""
    return [
        estimator.update(*(says_it if isinstance(says_it, tuple) else (says_it, None)), now=now)
        for now, says_it in ((start + count * every, says_it) for count, says_it in enumerate(says))
    ]


def test_the_bar_shows_the_part_of_the_time_that_is_over() -> None:
    estimator = Estimator(now=0, expectation={Phase.BUILDING: 100, Phase.LAUNCHING: 10})
    shown = {}
    for now in (0, 10, 50, 100, 400):
        told = estimator.update(Phase.BUILDING, None, now=now)
        assert told.eta is not None
        shown[now] = (told.progress, 100 * now / (now + told.eta))
    assert shown[0][0] == 0
    for now, (progress, part) in shown.items():
        # A little less: it cannot go back, should it take longer.
        assert part * 0.75 <= progress <= part + 0.01, now


def test_an_image_that_is_there_is_not_waited_for() -> None:
    waiting, built, launching = run(
        Estimator(now=0), Phase.WAITING, Phase.BUILT, Phase.LAUNCHING, every=0.01
    )
    assert waiting.eta is not None
    assert built.eta is not None
    assert launching.eta is not None
    assert waiting.eta > 5 * built.eta
    assert launching.progress < 1
    # Of a pull there is some probability.
    usual = TYPICAL[Phase.LAUNCHING]
    assert usual <= launching.eta <= built.eta < usual + PULL * TYPICAL_PULL + 0.2


def test_a_phase_that_nobody_expected_has_its_usual_length() -> None:
    without = {phase: s for phase, s in TYPICAL.items() if phase is not Phase.PUSHING}
    (building,) = run(Estimator(now=0, expectation=without), Phase.BUILDING)
    (with_push,) = run(Estimator(now=0), Phase.BUILDING)
    assert building.eta is not None
    assert with_push.eta is not None
    assert with_push.eta > building.eta + TYPICAL[Phase.PUSHING]
    (pushing,) = run(Estimator(now=0, expectation=without), Phase.PUSHING)
    assert pushing.eta == pytest.approx(TYPICAL[Phase.PUSHING] + TYPICAL[Phase.LAUNCHING], abs=1)


def test_where_no_launching_is_expected_nothing_is_waited_for_after_the_build() -> None:
    (built,) = run(Estimator(now=0, expectation={Phase.BUILDING: 5}), Phase.BUILT)
    assert built.eta is not None
    assert built.eta <= 0.1


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
    assert other.progress == pytest.approx(one.progress, abs=3)
    assert other.eta == pytest.approx(one.eta, abs=1)
    assert one.progress > 25


def test_between_two_estimates_of_a_busy_log_the_time_goes_on() -> None:
    estimator = Estimator(now=0)
    first = estimator.update(Phase.BUILDING, None, now=0)
    soon = estimator.update(Phase.BUILDING, None, now=0.1)
    assert first.eta is not None
    assert soon.eta == pytest.approx(first.eta - 0.1)
    assert soon.curve is not None
    assert first.curve is not None
    assert soon.curve.to == first.curve.to


def etas(*steps: Step, phase: Phase = Phase.BUILDING, at: float = 60.0) -> list[float]:
    """Estimate after each step. Steps come at equal intervals, the last one `at`."""
    estimator = Estimator(now=0, expectation={Phase.BUILDING: 100})
    estimator.update(phase, None, now=0)
    told = [
        estimator.update(phase, step, now=at * count / len(steps))
        for count, step in enumerate(steps, 1)
    ]
    return [estimate.eta or 0.0 for estimate in told]


def test_the_more_steps_are_done_the_less_is_left() -> None:
    left = etas(*[numbered(n, 10) for n in range(1, 11)])
    assert left[0] > left[4] > left[7] > left[9]
    assert left[9] < 25


def test_what_is_cached_is_over() -> None:
    assert etas(numbered(9, 10, cached=True)) < etas(numbered(9, 10))
    (begun, cached) = etas(numbered(9, 10), numbered(9, 10, cached=True))
    assert cached < begun


def test_only_forward_counts() -> None:
    # buildx runs steps side by side, and a postBuild may print what it likes.
    for late in (numbered(3, 10), numbered(8, 8), numbered(7, 10)):
        before, after = etas(numbered(7, 10), late, at=0.0002)
        assert after == before
    before, after = etas(numbered(7, 10), numbered(8, 20), at=0.0002)
    assert after != before


def test_a_new_phase_forgets_the_steps_of_the_one_before() -> None:
    estimator, other = Estimator(now=0), Estimator(now=0)
    run(estimator, (Phase.BUILDING, numbered(9, 10)), Phase.PUSHING, every=0)
    run(other, (Phase.BUILDING, None), Phase.PUSHING, every=0)
    told, same = (e.update(Phase.PUSHING, numbered(1, 2), now=0) for e in (estimator, other))
    assert told[2:] == same[2:]


def test_the_pace_of_the_steps_counts_more_than_what_is_usual() -> None:
    def eta(seconds: float) -> float:
        estimator = Estimator(now=0, expectation={Phase.BUILDING: 100})
        run(estimator, (Phase.BUILDING, numbered(1, 10)), every=0)
        told = estimator.update(Phase.BUILDING, numbered(6, 10), now=seconds)
        assert told.eta is not None
        return told.eta

    assert eta(5) < 30 < eta(50) < 60 < eta(500)


def test_a_first_step_that_takes_long_is_waited_for_longer() -> None:
    estimator = Estimator(now=0)
    waits = [
        estimator.update(Phase.BUILDING, numbered(1, 10), now=now).eta or 0.0
        for now in (0, 60, 1000, 10_000, 100_000)
    ]
    assert waits[1] < waits[0]
    assert waits[2:] == sorted(waits[2:])
    assert waits[2] > waits[1]


SCHEDULED = Step("scheduled", "Found a node")
PULLING = Step("pulling", "Pulling the image")
PULLED = Step("pulled", "Pulled the image")
CREATED = Step("created", "Created the container")
STARTING = Step("starting", "Starting the server")
ANSWERING = Step("answering", "Waiting for the server to respond")


def launching(*steps: Step) -> list[Estimate]:
    estimator = Estimator(now=0)
    estimator.update(Phase.LAUNCHING, None, now=0)
    return [estimator.update(Phase.LAUNCHING, step, now=0) for step in steps]


def test_a_pull_is_waited_for_as_soon_as_it_is_told() -> None:
    scheduled, pulling, pulled = launching(SCHEDULED, PULLING, PULLED)
    assert pulling.eta is not None
    assert scheduled.eta is not None
    assert pulled.eta is not None
    assert pulling.eta > scheduled.eta + 20
    assert pulled.eta < scheduled.eta


def test_a_container_that_starts_is_nearer_than_a_hub_that_says_so() -> None:
    (hub,) = launching(STARTING)
    *_, container = launching(STARTING, CREATED, ANSWERING)
    assert hub.eta is not None
    assert container.eta is not None
    assert container.eta < 0.6 * hub.eta


def test_it_is_late_after_what_nine_of_ten_keep_within() -> None:
    estimator = Estimator(now=0, expectation={Phase.BUILDING: 100})
    told = [estimator.update(Phase.BUILDING, None, now=now) for now in (0, 100, 300, 400)]
    lates = [estimate.late for estimate in told]
    # exp(1.2816 * 0.9) is 3.17.
    assert lates == [pytest.approx(left, abs=1) for left in (317, 217, 17, 0)]
    assert told[0].high is not None
    assert told[0].late is not None
    assert told[0].late > told[0].high


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.CANCELLED])
def test_a_bad_end_stops_the_bar_where_it_is(phase: Phase) -> None:
    estimator = Estimator(now=0)
    told = estimator.update(Phase.BUILDING, None, now=0)
    assert told.curve is not None
    stopped = estimator.update(phase, None, now=30)
    assert stopped == (round(told.curve.at(30), 3), *(None,) * 6)


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
    estimator = Estimator(now=0, expectation=typical)
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


# -- layers


def layer(key: str, index: int, total: int, existing: int = 0) -> Step:
    return Step(key, "", index, total, existing=existing)


def pushing(*events: tuple[float, int, int, int]) -> tuple[Estimator, list[Estimate]]:
    """Push an image: seconds, layer, number of layers, and how many existed."""
    estimator = Estimator(now=0.0)
    estimator.update(Phase.PUSHING, Step("pushing", ""), now=0.0)
    told = [
        estimator.update(Phase.PUSHING, layer("pushing", index, total, existing), now=seconds)
        for seconds, index, total, existing in events
    ]
    return estimator, told


def test_the_layers_of_a_push_move_the_bar() -> None:
    told = [pushing((0, 1, 10, 0), (10, index, 10, 0))[1][-1] for index in (2, 4, 6, 8, 10)]
    assert all(one.progress < other.progress for one, other in pairwise(told[1:]))
    left = [one.eta for one in told if one.eta is not None]
    assert left == sorted(left, reverse=True)
    # Half of them in ten seconds: ten seconds more, a server's start, and perhaps a pull.
    start = LogNormal(log(TYPICAL[Phase.LAUNCHING]), STEADY)
    image = LogNormal(log(TYPICAL_PULL), SIGMA)
    cases = (Case(1 - PULL, start), Case(PULL, total([start, image])))
    assert left[2] == pytest.approx(10 + quantile_of(cases, 0.5), abs=0.1)


def test_layers_that_were_there_say_nothing_of_the_pace() -> None:
    (quick,) = pushing((1, 9, 10, 0))[1]
    (there,) = pushing((1, 9, 10, 8))[1]
    (unknown,) = pushing((1, 1, 2, 0))[1]
    assert there.eta == unknown.eta
    assert quick.eta is not None
    assert there.eta is not None
    assert there.eta > 2 * quick.eta


def test_all_layers_were_there() -> None:
    _, told = pushing((0.5, 8, 8, 7), (0.6, 8, 8, 8))
    assert told[-1].progress >= told[0].progress


def test_more_layers_than_were_known_do_not_move_the_bar_back() -> None:
    _, told = pushing((4, 4, 4, 0), (4.5, 4, 9, 0), (5, 4, 20, 0), (9, 5, 20, 0))
    progress = [one.progress for one in told]
    assert progress == sorted(progress)
    left = [one.eta for one in told if one.eta is not None]
    assert left[1] > left[0]
    assert left[2] > left[1]


def test_the_bar_does_not_go_back_behind_a_curve_of_before_a_restart() -> None:
    estimator = Estimator(now=100.0)
    estimator.update(Phase.BUILDING, None, now=101.0)
    estimator.hold(Curve(from_=60.0, to=80.0, tau=10.0), began=110.0)
    assert estimator.update(Phase.BUILDING, None, now=110.0).progress == 60.0
    later = estimator.update(Phase.BUILDING, None, now=111.0)
    assert 60.0 <= later.progress <= 80.0
    assert later.curve is not None


def test_a_base_image_is_pulled_within_a_step() -> None:
    def left(*steps: Step) -> float:
        estimator = Estimator(now=0.0)
        for step in steps:
            told = estimator.update(Phase.BUILDING, step, now=30.0)
        assert told.eta is not None
        return told.eta

    build = numbered(3, 4)
    first, last = layer("pulling-base", 1, 8), layer("pulling-base", 8, 8)
    after = numbered(4, 4)
    assert left(build) == left(build, first) > left(build, first, last) > left(build, last, after)
    # Nobody knows of which step: then its layers say nothing of the build.
    assert left(last) == left(first)


def test_steps_go_on_after_a_base_image() -> None:
    estimator = Estimator(now=0.0)
    for step in (numbered(1, 4), layer("pulling-base", 7, 7), numbered(2, 4)):
        told = estimator.update(Phase.BUILDING, step, now=10.0)
    straight = Estimator(now=0.0)
    for step in (numbered(1, 4), numbered(2, 4)):
        expected = straight.update(Phase.BUILDING, step, now=10.0)
    assert told.eta == expected.eta
    # A stage that runs beside it does not count back.
    assert estimator.update(Phase.BUILDING, numbered(1, 9), now=10.1).eta == pytest.approx(
        told.eta, abs=0.2
    )


def test_a_copy_counts_for_itself() -> None:
    estimator, _ = pushing((1, 2, 10, 0))
    copy = estimator.copy()
    copy.update(Phase.PUSHING, layer("pushing", 9, 10), now=8.0)
    told = estimator.update(Phase.PUSHING, layer("pushing", 3, 10), now=8.0)
    _, alone = pushing((1, 2, 10, 0), (8, 3, 10, 0))
    assert told.eta == alone[-1].eta


def test_attack_a_log_that_begins_ever_new_steps_does_not_fill_the_memory() -> None:
    """Attack: the owner of the repository writes the log, and may write for an hour."""
    estimator = Estimator(now=0.0)
    for number in range(3 * MOST_STEPS):
        # What has no number in between lets the next one begin anew.
        estimator.update(Phase.BUILDING, Step("saving", "Saving the image"), now=float(number))
        step = numbered(1, 9, digest=str(number))
        told = estimator.update(Phase.BUILDING, step, now=float(number))
    assert told.curve is not None
    assert len(estimator._times) <= MOST_STEPS


def test_while_a_binderhub_is_away_the_bar_and_the_estimate_stand() -> None:
    estimator = Estimator(now=0.0)
    estimator.update(Phase.BUILDING, numbered(1, 4), now=1.0)
    before = estimator.update(Phase.BUILDING, None, now=20.0)
    away = [estimator.update(Phase.BUILDING, BINDERHUB_AWAY, now=now) for now in (21.0, 25.0, 90.0)]
    assert {one[1:] for one in away} == {(None,) * 6}
    (stood,) = {one.progress for one in away}
    after = estimator.update(Phase.BUILDING, numbered(1, 4), now=100.0)
    # As if the 79 seconds had not been.
    other = Estimator(now=0.0)
    other.update(Phase.BUILDING, numbered(1, 4), now=1.0)
    other.update(Phase.BUILDING, None, now=20.0)
    assert after.eta == other.update(Phase.BUILDING, numbered(1, 4), now=21.0).eta
    assert before.progress <= stood <= after.progress < stood + 1
