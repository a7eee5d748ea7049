from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.events import Event
from binderprogress.core.log.steps import Step, numbered
from binderprogress.core.phases import Phase
from binderprogress.core.timing.spans import MOST_SPANS, PastLaunch, Span, StepChange, spans

BEGAN = 1000.0


def event(at: float, phase: str, step: Step | None = None, **fields: Any) -> Event:
    step = step or Step("", "")
    return Event(
        id=1,
        phase=Phase(phase),
        time=BEGAN + at,
        elapsed=max(at, 0.0),
        progress=100.0 if phase == "ready" else 0.0,
        step=step.label,
        step_key=step.key,
        step_index=step.index,
        step_total=step.total,
        step_digest=step.digest,
        step_cached=step.cached,
        **fields,
    )


def times(found: list[Span]) -> list[tuple[str, str, float, float]]:
    return [(span.phase.value, span.step or "", span.start, span.end) for span in found]


RESOLVING = Step("resolving", "Looking up HEAD")
CLONING = Step("cloning", "Cloning the repository")


def test_a_launch_is_cut_into_its_steps() -> None:
    found = spans(
        [
            event(0, "waiting", RESOLVING),
            event(0.5, "fetching", CLONING),
            event(0.75, "fetching", CLONING, message="a line of it"),
            event(2, "building"),
            event(2.5, "building", numbered(1, 2, digest="a")),
            event(9, "building", numbered(2, 2, digest="b")),
            event(9.5, "building", numbered(2, 2, digest="b", cached=True)),
            event(10, "built"),
            event(10, "launching", Step("requested", "Requesting a server")),
            event(14, "ready"),
        ],
        began=BEGAN,
    )
    assert times(found) == [
        ("waiting", "resolving", 0, 0.5),
        ("fetching", "cloning", 0.5, 2),
        ("building", "", 2, 2.5),
        ("building", "step", 2.5, 9),
        ("building", "step", 9, 10),
        ("built", "", 10, 10),
        ("launching", "requested", 10, 14),
    ]
    assert [span.cached for span in found] == [False, False, False, False, True, False, False]
    assert [span.digest for span in found[3:5]] == ["a", "b"]
    assert found[3].seconds == 6.5


def test_changes_of_steps_say_as_much_as_all_events() -> None:
    """A log has many lines and few steps, and only the steps are kept."""
    first, second = numbered(1, 2, digest="a"), numbered(2, 2, digest="b", cached=True)
    steps = [
        (0.0, "waiting", Step("looking", "Looking")),
        (2.0, "building", first),
        (7.0, "building", second),
        (9.0, "ready", Step("", "")),
    ]
    events = [event(at, phase, step) for at, phase, step in steps]
    changes = [
        StepChange(id=number, phase=event.phase, time=event.time, new_step=step, attempt=1)
        for number, (event, (_, _, step)) in enumerate(zip(events, steps, strict=True), 1)
    ]
    began = events[0].time
    assert spans(changes, began=began) == spans(events, began=began)
    assert changes[-1].terminal


def test_one_that_goes_on_ends_with_its_newest_event() -> None:
    found = spans([event(0, "waiting"), event(3, "waiting")], began=BEGAN)
    assert times(found) == [("waiting", "", 0, 3)]
    assert spans([], began=BEGAN) == []


def test_layers_that_become_known_one_by_one_are_one_stretch() -> None:
    def layer(index: int, total: int) -> Step:
        return Step("pushing", f"Layer {index} of {total}", index, total)

    found = spans(
        [
            event(0, "pushing", layer(1, 1)),
            event(0, "pushing", layer(1, 2)),
            event(0, "pushing", layer(1, 3)),
            event(4, "pushing", layer(2, 3)),
            event(6, "pushing", layer(2, 3), message="a line of it"),
            event(9, "ready"),
        ],
        began=BEGAN,
    )
    named = [(span.label, span.total, span.start, span.end) for span in found]
    assert named == [("Layer 1 of 3", 3, 0, 4), ("Layer 2 of 3", 3, 4, 9)]


def test_attempts_are_told_apart() -> None:
    again = Step("retrying", "Trying again")
    found = spans(
        [event(0, "launching", again), event(2, "launching", again, attempt=2), event(5, "ready")],
        began=BEGAN,
    )
    assert [(span.attempt, span.seconds) for span in found] == [(1, 2), (2, 3)]


def test_what_a_build_did_before_is_not_the_time_of_who_joins_it() -> None:
    found = spans(
        [
            event(0, "waiting", RESOLVING),
            event(-60, "waiting"),
            event(-58, "fetching", CLONING),
            event(-50, "building", numbered(1, 2)),
            event(20, "building", numbered(2, 2)),
            event(30, "built"),
        ],
        began=BEGAN,
    )
    assert times(found) == [
        ("building", "step", 0, 20),
        ("building", "step", 20, 30),
        ("built", "", 30, 30),
    ]


@given(
    st.lists(
        st.tuples(st.floats(-100, 1e6, allow_nan=False), st.sampled_from(["waiting", "building"])),
        min_size=1,
    )
)
def test_there_are_no_gaps_whatever_the_clock_does(records: list[tuple[float, str]]) -> None:
    found = spans([event(at, phase) for at, phase in records], began=BEGAN)
    assert found[0].start == 0
    for span, after in pairwise(found):
        assert span.end == after.start
    assert all(span.seconds >= 0 for span in found)


def test_attack_a_log_that_is_nothing_but_steps() -> None:
    events = [event(n, "building", numbered(n % 900 + 1, 999)) for n in range(2 * MOST_SPANS)]
    found = spans([*events, event(2 * MOST_SPANS, "launching")], began=BEGAN)
    assert len(found) == MOST_SPANS + 1
    assert found[-2].end == 2 * MOST_SPANS
    assert found[-1].phase is Phase.LAUNCHING


def test_a_past_launch_says_how_long_its_phases_took() -> None:
    past = PastLaunch(
        began=BEGAN,
        provider="gh",
        repository="https://github.com/owner/repository",
        outcome=Phase.READY,
        spans=[
            Span(Phase.BUILDING, 0, 5, step="step"),
            Span(Phase.BUILDING, 5, 7, step="saving"),
            Span(Phase.LAUNCHING, 7, 9, step="pulling"),
            Span(Phase.LAUNCHING, 9, 10, step="starting"),
        ],
    )
    assert past.phase_seconds() == {Phase.BUILDING: 7, Phase.LAUNCHING: 3}
    assert past.pulled == 2
    assert past.seconds == 10
    empty = PastLaunch(began=0, provider="", repository="", outcome=Phase.FAILED)
    assert empty.seconds == 0
