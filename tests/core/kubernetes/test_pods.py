"""States of pods, as a real kubelet reported them (Kubernetes 1.20)."""

from __future__ import annotations

from typing import Any

import pytest

from binderprogress.core.kubernetes.pods import (
    END_REASONS,
    PodState,
    event_line,
    involved_uid,
    read_state,
    server_of,
)
from binderprogress.core.log.reasons import REASONS


def pod(phase: str, state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    containers = [{"name": "other"}, {"name": "builder", "state": state}] if state else []
    return {
        "metadata": {"name": "x", "uid": "u"},
        "spec": {"nodeName": "node-1"},
        "status": {"phase": phase, "containerStatuses": containers, **status},
    }


def test_of_a_pod_that_was_just_created() -> None:
    assert read_state({"metadata": {"uid": "u"}}, "builder") == PodState(uid="u")
    assert read_state({}, "builder") == PodState()


@pytest.mark.parametrize(
    ("reason", "message", "is_hopeless"),
    [
        ("ImagePullBackOff", 'Back-off pulling image "x"', False),
        ("CreateContainerConfigError", 'configmap "absent" not found', False),
        ("InvalidImageName", "", True),
        ("ErrImageNeverPull", "not present", True),
    ],
)
def test_problems_of_containers(reason: str, message: str, is_hopeless: bool) -> None:
    waiting = {"waiting": {"reason": reason, "message": message}}
    state = read_state(pod("Pending", waiting), "builder")
    assert (state.has_log, state.end, state.is_hopeless) == (False, None, is_hopeless)
    assert state.problem == f"{reason}: {message}".strip(": ")


def test_a_container_that_is_created_has_no_problem() -> None:
    state = read_state(pod("Pending", {"waiting": {"reason": "ContainerCreating"}}), "builder")
    assert state == PodState(uid="u", is_scheduled=True)


def test_a_container_that_runs() -> None:
    state = read_state(pod("Running", {"running": {"startedAt": "now"}}), "builder")
    assert state == PodState(uid="u", is_scheduled=True, has_log=True)


@pytest.mark.parametrize(
    ("phase", "terminated", "status", "end"),
    [
        ("Succeeded", {"exitCode": 0, "reason": "Completed"}, {}, "succeeded"),
        ("Failed", {"exitCode": 1, "reason": "Error"}, {}, "failed"),
        # The kernel killed a child of the first process.
        ("Succeeded", {"exitCode": 0, "reason": "OOMKilled"}, {}, "out-of-memory"),
        ("Failed", {"exitCode": 137, "reason": "OOMKilled"}, {}, "out-of-memory"),
        ("Failed", {}, {"reason": "Evicted", "message": "no disk "}, "evicted"),
        ("Failed", {}, {"reason": "DeadlineExceeded"}, "timeout"),
    ],
)
def test_ends(phase: str, terminated: dict[str, Any], status: dict[str, Any], end: str) -> None:
    state = read_state(pod(phase, {"terminated": terminated}, **status), "builder")
    assert state.end == end
    assert state.exit_code == terminated.get("exitCode", 0)
    assert state.message == status.get("message", "").strip()


def test_each_end_has_a_reason() -> None:
    assert set(END_REASONS.values()) <= REASONS.keys()


def test_events_are_lines_as_kubespawner_writes_them() -> None:
    event = {"type": "Warning", "message": "0/1 nodes are available. ", "lastTimestamp": "T1Z"}
    assert event_line(event) == "T1Z [Warning] 0/1 nodes are available.\n"
    assert event_line({"eventTime": "T2Z", "reason": "Odd"}) == "T2Z [Normal] Odd\n"


@pytest.mark.parametrize(("seconds", "grace"), [(30, 30.0), (None, 0.0)])
def test_a_pod_that_is_being_deleted(seconds: int | None, grace: float) -> None:
    found = pod("Running", {"running": {}})
    assert read_state(found, "builder").grace is None
    found["metadata"] |= {"deletionTimestamp": "later", "deletionGracePeriodSeconds": seconds}
    assert read_state(found, "builder").grace == grace


@pytest.mark.parametrize(
    ("annotations", "server"),
    [
        ({"hub.jupyter.org/username": "kim"}, ("kim", "")),
        (
            {"hub.jupyter.org/username": "kim", "hub.jupyter.org/servername": "work"},
            ("kim", "work"),
        ),
        ({"other": "x"}, ("", "")),
        (None, ("", "")),
    ],
)
def test_whose_server_it_is(annotations: dict[str, str] | None, server: tuple[str, str]) -> None:
    assert server_of({"metadata": {"annotations": annotations}}) == server


def test_what_an_event_is_about() -> None:
    assert involved_uid({"involvedObject": {"uid": "u"}}) == "u"
    assert involved_uid({"involvedObject": {"uid": None}}) == ""
    assert involved_uid({}) == ""
