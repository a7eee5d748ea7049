"""``binderprogress whatif``: the real command."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from binderprogress.core.phases import Phase
from binderprogress.core.timing.spans import Span
from binderprogress.history.database import Database

from ..history.launches import NOON, past
from .test_usage import cli

CLASS = "20 students, Mondays at 10"


def report(*arguments: str, env: dict[str, str]) -> dict[str, Any]:
    done = cli("whatif", *arguments, "--json", "--runs=2", env=env)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_class_and_another_policy(env: dict[str, str], tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    done = cli("whatif", "--class", CLASS, "--compare", "standby=20", "--plot", str(plot), env=env)
    assert (done.returncode, done.stderr) == (0, "")
    head, _, names, *rows = done.stdout.splitlines()
    assert head.startswith("7 days, 20 launches, simulated 5 times")
    assert names.split() == ["now", "standby=20"]
    titles = [row[:27].strip() for row in rows]
    assert titles[:3] == ["p50", "p95", "ready within 1 s"]
    assert {"got a standing server", "node hours", "cost per launch"} <= {*titles}
    assert "<svg" in plot.read_text()


def test_a_file_a_search_and_json(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "class.toml"
    file.write_text("[[classes]]\nstudents = 9\ndays = ['Friday']\nat = '9:00'\n")
    found = report(str(file), "--find", "standby", "--goal", "80% < 2s", env=env)
    assert found["answer"]["key"] == "standby.servers"
    value = found["answer"]["value"]
    assert 1 <= value <= 9
    assert [each["name"] for each in found["outcomes"]] == [str(file), f"standby.servers={value}"]
    assert found["accuracy"] is None
    hopeless = cli("whatif", str(file), "--find=standby", "--goal=80% < 1ms", "--runs=1", env=env)
    assert hopeless.returncode == 1
    assert "None is enough: 80% of the launches within 0.001 s" in hopeless.stdout


@pytest.fixture
def history(tmp_path: Path) -> str:
    """A history of a day with 60 launches, and one three days before."""
    url = f"sqlite:///{tmp_path / 'history.sqlite'}"
    took = [
        Span(Phase.WAITING, 0.0, 2.0, step="resolving"),
        Span(Phase.LAUNCHING, 2.0, 12.0, step="starting"),
    ]
    database = Database(url, log=logging.getLogger())
    database.write([past(began=NOON - 3 * 86400.0)])
    database.write(past(began=NOON + 60.0 * n, cold=False, spans=took) for n in range(60))
    database.close()
    return url


def test_a_history_is_replayed(history: str, env: dict[str, str]) -> None:
    accuracy = report("--history", "--url", history, "--days=1", env=env)["accuracy"]
    assert accuracy["recorded"]["launches"] == 60
    assert accuracy["p50"] == 0.0
    # A launch in twenty comes while a node is added, in one of two runs.
    assert accuracy["p95"] == pytest.approx(0.0, abs=0.2)
    done = cli("whatif", "--history", "--url", history, "--days=1", env=env)
    assert "2026-11-23 00:00 UTC, 1 day, 60 launches" in done.stdout
    assert "Recorded: p50 12 s, p95 12 s. Replayed: p50 12 s (+0%)" in done.stdout
    assert "do not trust" not in done.stdout
    both = report("--history", "--url", history, "--from=2026-11-20", env=env)
    assert both["accuracy"]["recorded"]["launches"] == 61


def test_a_replay_that_is_off_says_so(history: str, env: dict[str, str]) -> None:
    arguments = ("--set=nodes.most=1", "--set=nodes.memory_gb=2")
    done = cli("whatif", "--history", "--url", history, "--days=1", *arguments, env=env)
    assert "This is further off than 10%: do not trust what follows." in done.stdout


def test_event_logs_are_launched(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "events-2026-11-23.jsonl"
    event = {
        "schema": "binderhub.jupyter.org/launch",
        "version": 5,
        "provider": "GitHub",
        "spec": "ada/penguins/main",
        "ref": "a" * 40,
        "status": "success",
    }
    lines = [json.dumps({**event, "timestamp": f"2026-11-23T12:{n:02}:00+00:00"}) for n in range(9)]
    file.write_text("\n".join(lines))
    found = report("--events", str(file), "--days=1", env=env)
    assert found["outcomes"][0]["launches"]["middle"] == 9
    assert found["accuracy"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Nobody launches anything."),
        (["a.toml", "b.toml"], "Name one scenario file."),
        (["nowhere.toml"], "nowhere.toml cannot be read: No such file or directory."),
        (["--class", "many"], "The class 'many' is not understood."),
        (["--class", CLASS, "--set", "nodes.mst=3"], "Did you mean nodes.most?"),
        (["--class", CLASS, "--compare", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["--class", CLASS, "--find", "nodes.price"], "--find needs a whole number"),
        (["--class", CLASS, "--goal", "fast"], "The goal 'fast' is not understood."),
        (["--class", CLASS, "--history"], "Recorded launches are not mixed with described ones."),
        (["--history", "--events", "x"], "--history and --events cannot be used together."),
        (["--history", "--url=sqlite:////nowhere/x"], "There is no history at /nowhere/x."),
        (["--history", "--url="], "No history is configured."),
        (["--events", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["--class", CLASS, "--runs=0"], "--runs"),
        (["--class", CLASS, "--plot=/nowhere/x.svg"], "/nowhere/x.svg cannot be written"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, env: dict[str, str]) -> None:
    done = cli("whatif", *arguments, env=env)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr


def test_wrong_days_and_files(history: str, env: dict[str, str], tmp_path: Path) -> None:
    for arguments, message in (
        (["--from=monday"], "--from needs a day such as 2026-11-02, not 'monday'."),
        (["--from=2020-01-01"], "The history has no launches in this period."),
    ):
        done = cli("whatif", "--history", "--url", history, *arguments, env=env)
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    file = tmp_path / "x.toml"
    file.write_text("nodes")
    done = cli("whatif", str(file), env=env)
    assert (done.returncode, "is no TOML file" in done.stderr) == (2, True)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    done = cli("whatif", "--events", str(empty), env=env)
    assert (done.returncode, "There are no launches at all." in done.stderr) == (2, True)
