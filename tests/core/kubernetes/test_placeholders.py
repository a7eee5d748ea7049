"""Pods that keep room for a server: how they look, and what they say."""

from __future__ import annotations

from typing import Any

import pytest

from binderprogress.core.kubernetes.leftovers import Rules, leftover
from binderprogress.core.kubernetes.placeholders import (
    PlaceholderSettings,
    PlaceholderState,
    placeholder_manifest,
    placeholder_name,
    read_placeholder,
)

from ...support.pod_security import violations

NAME = placeholder_name("0a1b2c3d")
PLAIN = PlaceholderSettings(
    requests={"cpu": "500m", "memory": "1Gi"}, image="pause", max_seconds=3600
)
FULL = PlaceholderSettings(
    requests={"memory": "1Gi", "nvidia.com/gpu": "1"},
    image="pause",
    pulled_images=["base", "other"],
    node_selector={"pool": "users"},
    tolerations=[{"key": "gpu"}],
    priority_class="low",
    scheduler="user-scheduler",
    pull_secrets=["secret"],
    max_seconds=60,
    installation="ours",
)


def made(settings: PlaceholderSettings) -> dict[str, Any]:
    return placeholder_manifest(settings, name=NAME, build="build-a")


def state(pod: dict[str, Any], **status: Any) -> PlaceholderState:
    return read_placeholder({**pod, "status": status})


def test_it_has_the_size_of_a_server_and_no_rights() -> None:
    pod = made(PLAIN)
    assert pod["metadata"]["name"] == NAME == "binderprogress-placeholder-0a1b2c3d"
    (room,) = pod["spec"]["containers"]
    assert room["resources"]["requests"] == room["resources"]["limits"] == PLAIN.requests
    assert pod["spec"]["initContainers"] == []
    assert pod["spec"]["activeDeadlineSeconds"] == 3600
    assert "priorityClassName" not in pod["spec"]
    assert "schedulerName" not in pod["spec"]
    assert "binderprogress/installation" not in pod["metadata"]["annotations"]
    tolerated = [each["key"] for each in pod["spec"]["tolerations"]]
    assert tolerated == ["hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated"]
    assert violations(pod) == []


def test_what_is_configured_is_in_it() -> None:
    pod = made(FULL)
    spec = pod["spec"]
    assert [each["image"] for each in spec["initContainers"]] == ["base", "other"]
    assert spec["nodeSelector"] == {"pool": "users"}
    assert spec["tolerations"][-1] == {"key": "gpu"}
    assert (spec["priorityClassName"], spec["schedulerName"]) == ("low", "user-scheduler")
    assert spec["imagePullSecrets"] == [{"name": "secret"}]
    assert pod["metadata"]["annotations"]["binderprogress/installation"] == "ours"
    assert violations(pod) == []


def test_names_are_valid_whatever_the_key_is() -> None:
    assert placeholder_name("Ab_1/" + "c" * 100) == "binderprogress-placeholder-ab1" + "c" * 29


def test_what_it_says() -> None:
    pod = made(FULL)
    assert read_placeholder(pod) == PlaceholderState()
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    assert state(pod, conditions=[unschedulable]) == PlaceholderState(waits_for_node=True)
    pod["spec"]["nodeName"] = "node-1"
    assert state(pod) == PlaceholderState(node="node-1")
    one = [{"imageID": "sha256:1"}, {"imageID": ""}]
    assert state(pod, initContainerStatuses=one) == PlaceholderState(node="node-1")
    both = [{"imageID": "sha256:1"}, {"imageID": "sha256:2"}]
    assert state(pod, initContainerStatuses=both).has_pulled


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_it_keeps_no_room_after_its_end(phase: str) -> None:
    assert state(made(PLAIN), phase=phase).is_over


def test_it_keeps_no_room_while_it_is_deleted() -> None:
    pod = made(PLAIN)
    pod["metadata"]["deletionTimestamp"] = "2026-11-30T05:00:00Z"
    assert read_placeholder(pod).is_over


def test_it_is_left_over_when_its_build_is() -> None:
    rules = Rules(installation="ours", finished_after=300.0, aged_after=0.0)
    pod = made(FULL)
    assert leftover(pod, rules, wanted=["build-a"], now=0.0) is None
    assert leftover(pod, rules, wanted=[NAME], now=0.0) == "orphaned"
    assert leftover(pod, rules, wanted=None, now=0.0) is None
    assert leftover(made(PLAIN), rules, wanted=[], now=0.0) is None
