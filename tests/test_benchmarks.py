"""The benchmark of the estimator, on few launches: what it says is what its issue wants of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.estimator import measure
from benchmarks.generate import WORLDS, Conditions, World
from benchmarks.ranges import held, summary, table
from benchmarks.replay import expected, learn, replay
from benchmarks.traces import Header, Line, Trace, read, write
from binderprogress.core.timing.priors import Priors
from binderprogress.errors import BadRequestError

ROOT = Path(__file__).parents[1]
RECORDED = ROOT / "benchmarks" / "recorded"


@pytest.fixture(scope="module")
def generated() -> dict[str, Any]:
    world = World(7, repositories=25)
    launches = [world.launch() for _ in range(500)]
    return measure(launches[:350], launches[350:])


def rules(found: dict[str, Any], group: str) -> dict[str, dict[str, float]]:
    chosen: dict[str, dict[str, float]] = found["groups"][group]["rules"]
    return chosen


@pytest.mark.long
def test_the_bar_is_nearer_to_the_truth_than_those_of_others(generated: dict[str, Any]) -> None:
    for group in ("all", "with five or more"):
        ours, *others = rules(generated, group).values()
        assert all(ours["error"] < other["error"] for other in others)
    known = rules(generated, "with five or more")["binderprogress"]
    assert known["error"] <= 0.09
    assert known["backward"] == 0
    assert known["above_95"] <= 0.05


@pytest.mark.long
def test_the_range_holds_the_truth_about_half_of_the_time(generated: dict[str, Any]) -> None:
    assert 0.45 <= generated["groups"]["all"]["eta"]["coverage"] <= 0.65


def test_ranges_of_a_world_and_their_table() -> None:
    world, known = World(2, conditions=WORLDS["pulls or not"]), Priors()
    launches = [world.launch() for _ in range(40)]
    learn(known, launches[:20])
    ready = [trace for trace in launches[20:] if trace.ready]
    found = summary([[held(replay(trace, expected(known, trace)))] for trace in ready])
    assert found["launches"] == len(ready)
    low, high = found["within_interval"]
    assert 0 <= low < found["within"] < high <= 1
    assert found["within"] < found["before"] <= 1
    assert f"{found['within']:.1%} ({low:.1%} to {high:.1%})" in table({"pulls or not": found})


def test_repositories_of_a_world_become_slower_for_good() -> None:
    def seconds(conditions: Conditions) -> list[float]:
        world = World(3, repositories=1, conditions=conditions)
        return [trace.seconds for trace in (world.launch() for _ in range(60)) if trace.ready]

    usual, slower = seconds(Conditions()), seconds(Conditions(slower_after=8))
    assert max(slower) > 1.5 * max(usual)


def test_recorded_launches_by_the_command() -> None:
    command = [sys.executable, "-m", "benchmarks.estimator", "--json"]
    command += ["--train", str(RECORDED / "train"), "--test", str(RECORDED / "test")]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)["given"]
    assert found["test"] == {"recorded": len(list((RECORDED / "test").glob("*.jsonl")))}
    assert found["ready"] >= 27
    ours, unknown, *others = rules(found, "with five or more").values()
    assert all(ours["error"] < other["error"] for other in others)
    assert ours["error"] <= 0.08
    assert unknown["error"] <= 0.13
    for bars in (ours, unknown):
        assert bars["backward"] == 0
        assert bars["above_95"] <= 0.05
    assert 0.45 <= found["groups"]["with five or more"]["eta"]["coverage"] <= 0.6


SECOND = sorted(p for p in (RECORDED / "demo").glob("*-1.jsonl") if "failing" not in p.name)


@pytest.mark.parametrize("path", SECOND, ids=[path.stem for path in SECOND])
def test_the_range_of_a_second_launch_of_the_demo_holds_the_truth(path: Path) -> None:
    warm, cold = read(path), read(path.with_name(path.name.replace("-1.", "-0.")))
    run = path.name.partition("-")[0]
    before = [
        t for t in map(read, path.parent.glob(f"{run}-*")) if t.header.began < warm.header.began
    ]
    # With nothing but its first launch, and with all that was launched in that demo.
    for launches in ([cold], sorted(before, key=lambda trace: trace.header.began)):
        known = Priors()
        learn(known, launches)
        events = replay(warm, expected(known, warm))
        shown = [event for event in events if event.elapsed <= 1][-1]
        assert shown.eta_low is not None
        assert shown.eta_high is not None
        assert shown.eta_low <= events[-1].elapsed - shown.elapsed <= shown.eta_high


def test_a_trace_is_read_as_it_was_written(tmp_path: Path) -> None:
    trace = Trace(Header(spec="gh/a/b/HEAD", host="h"), [Line(0.5, "repo2docker", "line\n")])
    write(trace, tmp_path / "a" / "trace.jsonl")
    assert read(tmp_path / "a" / "trace.jsonl") == trace


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}\n",
        '{"spec": "gh/a/b/c"}\n',
        '{"spec": "gh/a/b/c"}\n{"t": 1, "source": "elsewhere", "record": ""}\n',
        '{"spec": "gh/a/b/c"}\n'
        + "".join(f'{{"t": {t}, "source": "binderhub", "record": {{}}}}\n' for t in (2, 1)),
    ],
    ids=["empty", "no spec", "no lines", "another source", "times go back"],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(text)
    with pytest.raises(BadRequestError, match=r"trace\.jsonl is not a trace"):
        read(path)
