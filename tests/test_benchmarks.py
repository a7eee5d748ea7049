"""The benchmark of the estimator, on few launches: what it says is what its issue wants of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.estimator import measure
from benchmarks.generate import World
from benchmarks.traces import Header, Line, Trace, read, write
from binderprogress.errors import BadRequestError

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def generated() -> dict[str, Any]:
    world = World(7, repositories=25)
    launches = [world.launch() for _ in range(500)]
    return measure(launches[:350], launches[350:])


def rules(found: dict[str, Any], group: str) -> dict[str, dict[str, float]]:
    chosen: dict[str, dict[str, float]] = found["groups"][group]["rules"]
    return chosen


def test_the_bar_is_nearer_to_the_truth_than_those_of_others(generated: dict[str, Any]) -> None:
    for group in ("all", "with five or more"):
        ours, *others = rules(generated, group).values()
        assert all(ours["error"] < other["error"] for other in others)
    known = rules(generated, "with five or more")["binderprogress"]
    assert known["error"] <= 0.09
    assert known["backward"] == 0
    assert known["above_95"] <= 0.05


def test_the_range_holds_the_truth_about_half_of_the_time(generated: dict[str, Any]) -> None:
    assert 0.45 <= generated["groups"]["all"]["eta"]["coverage"] <= 0.65


def test_recorded_launches_by_the_command() -> None:
    recorded = ROOT / "benchmarks" / "recorded"
    command = [sys.executable, "-m", "benchmarks.estimator", "--json"]
    command += ["--train", str(recorded / "train"), "--test", str(recorded / "test")]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["test"] == {"recorded": 35}
    assert found["ready"] == 30
    ours, *others = rules(found, "all").values()
    assert all(ours["error"] < other["error"] for other in others)


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
