"""The time summary at the end of `binderprogress launch`."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from binderprogress.cli.summary import Row, TraceRecorder, print_rows, summarize
from binderprogress.core.events import DoneAhead, Event
from binderprogress.core.log.steps import Step, numbered
from binderprogress.core.phases import Phase


def event(at: float, phase: str, step: Step | None = None, **fields: Any) -> Event:
    step = step or Step("", "")
    return Event(
        id=1,
        phase=Phase(phase),
        time=1000.0 + at,
        elapsed=at,
        progress=100.0 if phase == "ready" else 0.0,
        step=step.label,
        step_key=step.key,
        step_index=step.index,
        step_total=step.total,
        step_digest=step.digest,
        step_cached=step.cached,
        step_command=step.command,
        **fields,
    )


BUILD = [
    event(0, "waiting", Step("resolving", "Looking up HEAD")),
    event(0.5, "waiting", Step("queued", "Number 1 in the queue", index=1, total=1)),
    event(1, "fetching", Step("cloning", "Cloning the repository")),
    event(3, "building", Step("detected", "Building with Python")),
    *[
        event(4 + n / 10, "building", numbered(n, 20, cached=True, digest=f"{n}"))
        for n in range(1, 9)
    ],
    *[
        event(5 + n, "building", numbered(n, 20, digest=f"{n}", command="pip\x1b[2J install"))
        for n in range(9, 21)
    ],
    event(125, "built"),
    event(125, "launching", Step("requested", "Requesting a server")),
    event(126, "launching", Step("pulling", "\x1b[31mPulling the image")),
    event(136, "ready"),
]


def seen(events: list[Event]) -> list[Row]:
    recorder = TraceRecorder()
    for one in events:
        recorder.add(one)
    return summarize(recorder.trace())


def test_phases_with_their_longest_steps_and_what_was_cached() -> None:
    assert seen(BUILD) == [
        Row("Checking", 0.5),
        Row("Queued", 0.5),
        Row("Fetching", 2.0),
        Row("Building", 122.0),
        Row("Building with Python", pytest.approx(1.1), is_step=True),
        Row("8 cached steps", pytest.approx(9.9), is_step=True),
        Row("Step 9 of 20 · pip install", 1.0, is_step=True),
        Row("Step 20 of 20 · pip install", 100.0, is_step=True),
        Row("Launching", 11.0),
        # Labels may come from an untrusted server.
        Row("Pulling the image", 10.0, is_step=True),
    ]


def test_what_was_done_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = [
        # Little of a launch that takes two minutes.
        DoneAhead("jupyterhub-user", "JupyterHub user made", 3.0, 3.9, 0.9),
        # Labels may come from an untrusted server.
        DoneAhead("node", "\x1b[31mNode added", 3.0, 63.0, 60.0),
    ]
    rows = seen([*BUILD[:4], *BUILD[-4:-1], event(136, "ready", ahead=ahead)])
    assert rows[-1] == Row("Node added", 60.0, is_ahead=True)
    assert [row.is_ahead for row in rows].count(True) == 1
    # It is part of the time that is shown above it.
    out = io.StringIO()
    print_rows(rows, out=out)
    text = out.getvalue()
    assert text.startswith("== Where the time went (2 min 16 s)\n")
    assert text.endswith("Meanwhile (time saved):\n   Node added: 1 min 0 s\n")
    for name, value in {"COLUMNS": "80", "TERM": "xterm", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    print_rows(rows, out=terminal)
    heading, line = terminal.getvalue().splitlines()[-2:]
    assert heading.strip() == "Meanwhile (time saved)"
    # It is not solid, and as long as those above for as many seconds: 24 letters are 136 s.
    assert line.count("░") == 11


def test_a_log_is_not_kept() -> None:
    lines = [event(1 + n / 1000, "building", message="a line\n") for n in range(1000)]
    recorder = TraceRecorder()
    for one in [event(0, "waiting"), *lines, event(3, "ready")]:
        recorder.add(one)
    assert len(recorder._events) == 3
    assert summarize(recorder.trace()) == [Row("Checking", 1.0), Row("Building", 2.0)]


def test_nothing_is_said_of_nothing() -> None:
    out = io.StringIO()
    print_rows(seen([event(0, "waiting"), event(0.01, "ready")]), out=out)
    assert out.getvalue() == ""


def test_plain_lines_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    print_rows(seen(BUILD[:4] + BUILD[-4:]), out=out)
    assert out.getvalue() == (
        "== Where the time went (2 min 16 s)\n"
        "Checking: 0.5 s\n"
        "Queued: 0.5 s\n"
        "Fetching: 2.0 s\n"
        "Building: 2 min 2 s\n"
        "Launching: 11 s\n"
        "   Requesting a server: 1.0 s\n"
        "   Pulling the image: 10 s\n"
    )


class Terminal(io.StringIO):
    """A terminal that records its output."""

    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, columns: int, **env: str) -> str:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in {"COLUMNS": str(columns), "TERM": "xterm", **env}.items():
        monkeypatch.setenv(name, value)
    out = Terminal()
    print_rows(seen(BUILD), out=out)
    return out.getvalue()


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_bars_fit_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    # Without colors, the rest of a bar is blank.
    text = shown(monkeypatch, columns, NO_COLOR="1")
    lines = re.sub(r"\x1b\[[\d;]*m", "", text).splitlines()
    assert lines[0] == "Where the time went (2 min 16 s)"
    assert len(lines) == 11
    assert max(map(len, lines)) <= columns
    bars = {
        line.split()[0]: line.count("━") + line.count("╸") for line in lines[1:] if line[0] != " "
    }
    assert bars["Building"] > bars["Launching"] >= bars["Checking"] == 0
    assert lines[4].rstrip().endswith("2 min 2 s")


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.search(r"\x1b\[3\dm", shown(monkeypatch, 80))
    plain = shown(monkeypatch, 80, NO_COLOR="1")
    assert not re.search(r"\x1b\[[\d;]*3\dm", plain)
