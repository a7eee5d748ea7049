"""Logs of every kind, as people have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from binderprogress.core.log.diagnosis import diagnose
from binderprogress.core.log.sources import ReadLog, read_source


def records(*made: dict[str, Any], prefix: str = "") -> list[str]:
    return [f"{prefix}{json.dumps(record)}\n" for record in made]


def test_a_builders_output() -> None:
    log = read_source(
        ["STEP 1/2: RUN make\n", "\n", "make: *** Error 1\r\n", '{"not": "finished"\n']
    )
    assert log.lines == ["STEP 1/2: RUN make", "make: *** Error 1", '{"not": "finished"']
    assert log.numbers == [1, 3, 4]
    assert (log.kind, log.failed) == ("", None)


def test_json_lines_of_repo2docker() -> None:
    log = read_source(
        records(
            {"message": "Cloning\nmore\n", "phase": "fetching"},
            {"message": None, "phase": "building"},
            {"message": "Error during build: no", "phase": "failed"},
        )
    )
    assert log.lines == ["Cloning", "more", "Error during build: no"]
    assert log.numbers == [1, 1, 3]
    assert (log.kind, log.failed) == ("", True)


def test_the_stream_of_a_binderhub_as_curl_prints_it() -> None:
    made = records(
        {"phase": "building", "message": "E: Unable to locate package nosuch\n"},
        {"phase": "built", "message": "Found built image, launching...\n"},
        {"phase": "launching", "message": "Server requested\n"},
        {"phase": "ready", "message": "server running\n", "url": "https://hub.example.org/"},
        prefix="data: ",
    )
    log = read_source([":keepalive\n", "event: message\n", "id: 3\n", *made])
    # What was built in the end explains nothing.
    assert log.lines == ["Found built image, launching...", "Server requested", "server running"]
    assert (log.kind, log.failed) == ("spawn", False)


def event(message: str, uid: str = "", **more: Any) -> dict[str, Any]:
    about = {"involvedObject": {"uid": uid}} if uid else {}
    return {"progress": 10, "message": message, "raw_event": about, **more}


def test_events_of_an_earlier_pod_do_not_count() -> None:
    """A JupyterHub that was restarted repeats them: the pods have the same name."""
    log = read_source(
        records(
            event("0/1 nodes are available: 1 Insufficient memory.", "one"),
            event("Successfully assigned", "two"),
            event("Back-off restarting failed container", "two"),
            event("Spawn failed: Timeout", failed=True),
        )
    )
    assert log.numbers == [2, 3, 4]
    assert log.failed
    assert diagnose(log.lines, kind=log.kind).reason == "crash-loop"
    assert read_source(records(event("", ready=True))).failed is False


@pytest.mark.parametrize(
    ("answer", "failed", "lines"),
    [
        ([500, {"message": "no"}], True, ["no"]),
        ([201, {}], None, []),
        ([403, "Forbidden"], True, []),
        ("odd", None, []),
        (["odd", {"message": "no"}], None, ["no"]),
    ],
)
def test_what_a_jupyterhub_answered(answer: Any, failed: bool | None, lines: list[str]) -> None:
    log = read_source(records({"POST": answer}))
    assert (log.kind, log.failed, log.lines) == ("spawn", failed, lines)


def test_the_log_of_a_job_in_github_actions() -> None:
    log = read_source(
        ["build\tBuild the image\t2024-03-24T22:16:06.123Z E: Unable to locate package x\n"]
    )
    diagnosis = diagnose(log.lines)
    assert diagnosis.reason == "apt-package-missing"
    assert diagnosis.evidence == ["E: Unable to locate package x"]


@pytest.mark.parametrize(
    "line",
    [
        "[1, 2]",
        '{"a":' * 2000,
        '{"raw_event": {"involvedObject": 3}, "message": 4}',
        '{"phase": 3}',
        "{}",
    ],
)
def test_odd_json(line: str) -> None:
    log = read_source([line])
    assert log.failed is None
    assert log.lines in ([], [line])


def test_a_jupyterhub_that_refuses_the_request() -> None:
    log = read_source(records({"POST": [403, {"status": 403, "message": "Forbidden"}]}))
    assert (log.kind, log.failed) == ("spawn", True)
    diagnosis = diagnose(log.lines, kind=log.kind)
    assert (diagnosis.reason, diagnosis.retry) == ("hub-refused", False)
    assert diagnosis.message == "JupyterHub refuses to start the server: Forbidden."


# -- recorded logs of builds that ended well, see the README beside them

LOGS = sorted((Path(__file__).parents[2] / "data" / "logs").glob("*/*.*"))
OVERCOME = [path for path in LOGS if path.parent.name == "overcome"]


def read(path: Path) -> ReadLog:
    return read_source(path.read_text().splitlines(keepends=True))


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_no_failure_is_seen_in_a_log_that_ended_well(path: Path) -> None:
    log = read(path)
    assert log.failed is not True
    diagnosis = diagnose(log.lines)
    # Without records that say how it ended, no line may look like a reason.
    assert log.failed is False or (diagnosis.rule, diagnosis.failed) == ("", False)


@pytest.mark.parametrize("path", OVERCOME, ids=lambda path: path.stem)
def test_what_was_overcome_does_not_explain_a_later_failure(path: Path) -> None:
    failing = ["Step 9/9 : RUN ./analyse", "The command './analyse' returned a non-zero code: 3"]
    diagnosis = diagnose([*read(path).lines, *failing])
    assert (diagnosis.reason, diagnosis.rule) == ("build-step-failed", "")
    assert diagnosis.message == "The command ./analyse failed with exit code 3."
