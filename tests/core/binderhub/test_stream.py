"""Events of the records of a BinderHub."""

from __future__ import annotations

from typing import Any

import pytest

from binderprogress.core.binderhub import stream as binderhub
from binderprogress.core.binderhub.stream import (
    BinderHubLaunch,
    read_record,
    reason_of_status,
    server_of,
)
from binderprogress.core.events import Event
from binderprogress.core.phases import Phase
from binderprogress.errors import LaunchFailedError

from ..recorded import records


def launch_of(*said: dict[str, Any]) -> BinderHubLaunch:
    """Process records at intervals of a second."""
    launch = BinderHubLaunch("http://hub/", began=50, began_utc=1000)
    for second, record in enumerate(said, 1):
        launch.take(record, now=50 + second)
    return launch


def told(*said: dict[str, Any]) -> list[Event]:
    return launch_of(*said).events


def test_a_recorded_launch() -> None:
    events = told(*records("binderhub-build-real-ok.txt"))
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    bar = [event.progress for event in events]
    assert bar == sorted(bar)
    assert events[-1].phase is Phase.READY
    assert events[-1].url.startswith("http://127.0.0.1:18000/user/")
    assert events[-1].token == "AAAAAAAAAAAAAAAAAAAAAA"
    (built,) = [event for event in events if event.phase is Phase.BUILT]
    assert built.imageName
    assert all(event.curve and event.eta_low for event in events[:-1])


def test_a_recorded_failure() -> None:
    launch = launch_of(*records("binderhub-build-real-badbuild.txt"))
    assert launch.over
    last = launch.events[-1]
    assert (last.reason, last.subject) == ("unsatisfiable-requirement", "six==99.99")
    launch.take({"phase": "ready", "url": "http://x/"}, now=99)
    assert launch.events[-1] is last, "nothing follows the end"


def test_times_and_steps() -> None:
    first, second, third = told(
        {"phase": "waiting", "message": "Waiting\n"},
        {"phase": "building", "message": "Step 2/4 : RUN true\n"},
        {"phase": "launching", "message": "x\n"},
    )
    assert (first.time, first.elapsed) == (1001, 1)
    assert (second.step, second.step_index, second.step_total) == ("Step 2 of 4", 2, 4)
    assert third.step == "", "it ends with its phase"


def test_a_phase_does_not_come_back() -> None:
    events = told(
        {"phase": "building", "message": "one"},
        {"phase": "fetching", "message": "two"},
        {"phase": "building", "message": "Pushing image\n"},
        {"message": "three"},
    )
    assert [event.phase for event in events] == ["building", "building", "pushing", "pushing"]


def test_what_says_nothing_is_left_out() -> None:
    assert told({"progress": 3}, {"message": "  "}) == []


def test_a_line_that_is_too_long() -> None:
    (event,) = told({"message": "x" * 5000})
    assert event.message == f"{'x' * 4096}… [904 more characters]\n"


def test_attack_a_log_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binderhub, "_MOST_LINES", 2)
    said = [{"phase": "building", "message": f"{number}\n"} for number in range(5)]
    events = told(*said, {"phase": "built", "message": "Built\n"})
    assert [event.message for event in events] == [
        "0\n",
        "1\n",
        "[The log is too long. The rest is omitted.]\n",
        "",
    ]
    assert events[-1].phase is Phase.BUILT


def test_tries_are_counted() -> None:
    events = told(
        {"phase": "launching", "message": "Launch attempt 1 failed, retrying...\n"},
        {"phase": "launching", "message": "Server requested\n"},
    )
    assert [event.attempt for event in events] == [1, 2]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([{"phase": "failed", "status_code": 429, "message": "x"}], "rate-limited"),
        ([{"phase": "failed", "status_code": 500}], "internal"),
        ([{"phase": "failed"}], "unknown"),
        ([{"phase": "building", "message": "x"}, {"phase": "failed"}], "build-failed"),
        ([{"phase": "launching", "message": "x"}, {"phase": "failed"}], "spawn-failed"),
        ([{"phase": "ready", "url": "javascript:alert()"}], "spawn-failed"),
        ([{"phase": "ready", "url": "http://[x/"}], "spawn-failed"),
        ([{"phase": "ready"}], "spawn-failed"),
    ],
)
def test_why_it_failed(said: list[dict[str, Any]], reason: str) -> None:
    last = told(*said)[-1]
    assert (last.phase, last.reason) == (Phase.FAILED, reason)


def test_ends_that_no_record_gave() -> None:
    launch = launch_of({"phase": "building", "message": "x"})
    launch.fail("connection-lost", now=60)
    assert launch.events[-1].reason == "connection-lost"
    launch = launch_of({"phase": "building", "message": "x"})
    launch.cancel(now=60)
    assert (launch.events[-1].phase, launch.events[-1].reason) == (Phase.CANCELLED, "left")
    assert launch.over


def test_records() -> None:
    assert read_record('{"a": 1}') == {"a": 1}
    assert read_record("[1]") == {"message": "[1]"}
    assert read_record("{") == {"message": "{"}
    assert binderhub.phase_of({"phase": "cancelled"}) is Phase.CANCELLED
    assert binderhub.phase_of({"phase": "Built"}) is Phase.BUILT
    assert binderhub.phase_of({"phase": 3}) is None
    assert binderhub.message_of({"message": "x"}) == "x"
    assert binderhub.message_of({"message": {}}) == ""
    assert reason_of_status("403") == "unknown"
    assert reason_of_status(403) == "refused"
    assert server_of({"url": "/user/x/", "token": 3}, "http://hub/binder/") == (
        "http://hub/user/x/",
        "",
    )
    with pytest.raises(LaunchFailedError, match="not http"):
        server_of({"url": 3}, "http://hub/")
