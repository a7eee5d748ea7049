"""The search for what is enough, and what several runs say together."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import msgspec
import pytest

from binderprogress.errors import ConfigError
from binderprogress.whatif.classes import Described, read_class
from binderprogress.whatif.outcome import percentile, simulate
from binderprogress.whatif.policy import Policy, changed, read_policy
from binderprogress.whatif.report import Goal, Try
from binderprogress.whatif.search import find, read_goal
from binderprogress.whatif.study import study
from binderprogress.whatif.svg import picture

CLASS = Policy(classes=[read_class("40 students, Mondays at 10")])


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("80% < 1s", Goal(0.8, 1.0)),
        ("99.5 % within 500 ms", Goal(0.995, 0.5)),
        ("p95 < 2min", Goal(0.95, 120.0)),
        ("100%<=3 seconds", Goal(1.0, 3.0)),
    ],
)
def test_a_goal_is_read(text: str, goal: Goal) -> None:
    assert read_goal(text) == goal


@pytest.mark.parametrize("text", ["", "fast", "80 < 1s", "101% < 1s", "80% < 1", "80% > 1s"])
def test_other_goals_are_not_understood(text: str) -> None:
    with pytest.raises(ConfigError, match="is not understood"):
        read_goal(text)


def test_the_smallest_number_is_found() -> None:
    source = Described(CLASS)
    goal = Goal(0.8, 2.0)
    seen: list[Try] = []
    answer = find(source, CLASS, "standby", goal, runs=2, seed=1, progress=seen.append)
    assert answer.key == "standby.servers"
    assert answer.value is not None
    assert answer.tries == sorted(seen, key=lambda tried: tried.value)
    # It is enough, and one less is not.
    shares = {tried.value: tried.share for tried in answer.tries}
    assert shares[answer.value] >= 0.8 > shares[answer.value - 1]
    # The launches are those that `simulate` has.
    outcome = simulate(
        source, changed(CLASS, f"standby={answer.value}", name=""), runs=2, seed=1, name=""
    )
    assert outcome.handed_over.low == pytest.approx(shares[answer.value], abs=0.05)


def test_what_is_reached_without_any_needs_none() -> None:
    answer = find(Described(CLASS), CLASS, "standby", Goal(0.5, 600.0), runs=1, seed=1)
    assert (answer.value, len(answer.tries)) == (0, 1)


def test_a_goal_may_be_out_of_reach() -> None:
    goal = Goal(0.8, 0.01)
    answer = find(Described(CLASS), CLASS, "standby", goal, runs=1, seed=1, most=5)
    assert answer.value is None
    assert [tried.value for tried in answer.tries] == [0, 1, 2, 4, 5]


@pytest.mark.parametrize("key", ["nodes.memory_gb", "hubs.shared_registry", "what", "nodes.what"])
def test_only_whole_numbers_are_searched(key: str) -> None:
    with pytest.raises(ConfigError, match="needs a whole number"):
        find(Described(CLASS), CLASS, key, Goal(0.5, 1.0), runs=1, seed=1)


def test_nodes_are_at_least_as_many_as_there_always_are() -> None:
    policy = read_policy(
        {"nodes": {"least": 3, "most": 9}, "classes": msgspec.to_builtins(CLASS.classes)}, name=""
    )
    answer = find(Described(policy), policy, "nodes", Goal(0.9, 600.0), runs=1, seed=1)
    assert answer.tries[0].value == 3


def test_percentiles_are_interpolated() -> None:
    assert percentile([], 50) == 0.0
    assert percentile([3.0], 95) == 3.0
    assert percentile([0.0, 10.0], 50) == 5.0
    assert percentile([float(n) for n in range(101)], 95) == 95.0


def test_runs_are_summed_up() -> None:
    report = study(
        [("now", CLASS), ("more", changed(CLASS, "standby=20", name=""))], runs=3, seed=1
    )
    now, more = report.outcomes
    assert now.launches.low == now.launches.high == 40
    assert now.p50.low <= now.p50.middle <= now.p50.high
    assert more.p50.high < now.p50.low
    assert more.node_hours.middle >= now.node_hours.middle
    shares = [point.share.middle for point in now.within]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert sum(band.middle for band in now.begun_by_hour) == 40
    assert now.begun_by_hour[10].middle == 40
    late = sum(band.middle for band in now.late_by_hour)
    assert now.late.middle * now.hours == pytest.approx(late, abs=0.001)
    assert study([("now", CLASS)], runs=3, seed=1).outcomes[0] == now


def texts_of(svg: str) -> list[str]:
    root = ET.fromstring(svg)  # noqa: S314 - it is ours
    return [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_a_picture_for_a_phone_has_shorter_lines_and_fewer_labels() -> None:
    report = study([("x" * 80, CLASS)], runs=1, seed=1)
    wide, narrow = (texts_of(picture(report, width=width)) for width in (480, 360))
    assert "People an hour who wait longer than 10 s" in wide
    assert narrow[narrow.index("People an hour who wait") + 1] == "longer than 10 s"
    assert max(map(len, narrow)) < max(map(len, wide))
    assert {"1 h", "Tue"} <= {*wide}
    assert not {"1 h", "Tue"} & {*narrow}


def test_a_picture_shows_each_policy() -> None:
    other = changed(CLASS, "nodes.price=3", name="")
    report = study([("<now> & then", CLASS), ("x" * 80, other)], runs=2, seed=1)
    root = ET.fromstring(picture(report))  # noqa: S314 - it is ours
    texts = [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<now> & then" in texts
    assert f"{'x' * 52}…" in texts
    assert {"100%", "1 min", "Mon", "Sun", "People an hour who wait longer than 10 s"} <= {*texts}
    lines = [e for e in root.iter() if e.get("class", "").startswith("line l")]
    assert len(lines) == 2 * 2 + 2
