from __future__ import annotations

from itertools import pairwise, product

import pytest

from binderprogress.core.phases import TERMINAL, TRANSITIONS, Phase, check_transition
from binderprogress.errors import IllegalTransitionError

STARTS: list[Phase | None] = [None, *Phase]
PAIRS = list(product(STARTS, Phase))
# Said a second time, apart from the code: what a person who knows BinderHub would draw.
SUCCESSORS = {
    None: "waiting",
    "waiting": "waiting fetching building pushing built failed cancelled",
    "fetching": "fetching building pushing built failed cancelled",
    "building": "building pushing built failed cancelled",
    "pushing": "pushing built failed cancelled",
    "built": "launching ready failed cancelled",
    "launching": "launching ready failed cancelled",
    "ready": "",
    "failed": "",
    "cancelled": "",
}
LEGAL = {(before, after) for before, names in SUCCESSORS.items() for after in names.split()}


def test_the_table_is_total() -> None:
    assert set(TRANSITIONS) == set(STARTS)
    assert all(after <= set(Phase) for after in TRANSITIONS.values())


@pytest.mark.parametrize(("before", "after"), [pair for pair in PAIRS if pair in LEGAL])
def test_what_may_follow_passes(before: Phase | None, after: Phase) -> None:
    check_transition(before, after)


@pytest.mark.parametrize(("before", "after"), [pair for pair in PAIRS if pair not in LEGAL])
def test_what_may_not_follow_raises_and_changes_nothing(before: Phase | None, after: Phase) -> None:
    table = dict(TRANSITIONS)
    with pytest.raises(IllegalTransitionError) as caught:
        check_transition(before, after)
    assert caught.value.before == (before or "nothing")
    assert caught.value.after == after
    assert table == TRANSITIONS


def test_the_refusal_reads_as_a_sentence() -> None:
    with pytest.raises(IllegalTransitionError) as caught:
        check_transition(Phase.READY, Phase.WAITING)
    assert str(caught.value) == "The phase 'waiting' must not follow 'ready'."


def test_terminal_phases_have_no_successors_and_all_others_do() -> None:
    assert {phase for phase in Phase if not TRANSITIONS[phase]} == TERMINAL


def test_no_phase_comes_back() -> None:
    order = list(Phase)
    for before, after in PAIRS:
        if before is not None and after in TRANSITIONS[before]:
            assert order.index(after) >= order.index(before)


def test_the_names_are_binderhubs() -> None:
    assert " ".join(Phase) == (
        "waiting fetching building pushing built launching ready failed cancelled"
    )


@pytest.mark.parametrize(
    "way",
    [
        "waiting fetching building pushing built launching ready",
        "waiting built launching ready",
        "waiting fetching building building building built launching launching ready",
    ],
)
def test_a_whole_launch(way: str) -> None:
    for before, after in pairwise([None, *map(Phase, way.split())]):
        assert after is not None
        check_transition(before, after)
