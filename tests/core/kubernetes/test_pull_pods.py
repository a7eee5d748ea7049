"""What pods that pull an image say, as kubelets report it."""

from __future__ import annotations

from typing import Any

import pytest

from binderprogress.core.kubernetes.pull_pods import PullPod, is_pulling, pull_manifest, read_pull

from ...support.pod_security import violations


def pull(state: dict[str, Any] | None = None, phase: str = "Pending", **more: Any) -> PullPod:
    pod = pull_manifest(name="p-0", node="n", image="x/y:1", size=7)
    metadata = {"uid": "u", "creationTimestamp": "1970-01-01T00:01:00Z"}
    pod["metadata"] = {**pod["metadata"], **metadata}
    containers = [] if state is None else [{"name": "pull", "state": state, **more}]
    pod["status"] = {"phase": phase, "containerStatuses": containers}
    return read_pull(pod)


def test_the_pod_is_restricted() -> None:
    assert not violations(pull_manifest(name="p-0", node="n", image="x", size=7))


def test_a_pull_that_has_begun() -> None:
    assert pull() == PullPod(
        name="p-0",
        uid="u",
        node="n",
        image="docker.io/x/y:1",
        size=7,
        created=60.0,
        deleted=0.0,
        outcome="pulling",
    )
    assert pull({"waiting": {"reason": "ContainerCreating"}}).outcome == "pulling"
    assert pull({}).outcome == "pulling"


@pytest.mark.parametrize(
    ("state", "more"),
    [
        ({"running": {}}, {}),
        ({"terminated": {"exitCode": 0, "reason": "Completed"}}, {}),
        ({"terminated": {"exitCode": 128, "reason": "StartError"}}, {}),
        ({"waiting": {"reason": "RunContainerError", "message": "/bin/true: no such file"}}, {}),
        ({"waiting": {"reason": "CreateContainerConfigError"}}, {}),
        ({"waiting": {"reason": "ContainerCreating"}}, {"imageID": "sha256:00"}),
    ],
)
def test_an_image_is_there_once_its_container_is_or_should_be(
    state: dict[str, Any], more: dict[str, Any]
) -> None:
    assert pull(state, **more).outcome == "pulled"


def test_pulls_that_failed() -> None:
    found = pull({"waiting": {"reason": "ErrImagePull", "message": "not found"}})
    assert (found.outcome, found.message) == ("failed", "ErrImagePull: not found")
    lost = pull({"terminated": {"reason": "ContainerStatusUnknown"}}, phase="Failed")
    assert (lost.outcome, lost.message) == ("failed", "the pod has ended")
    refused = read_pull(
        {
            "metadata": {"name": "p-0", "uid": "u", "deletionTimestamp": "1970-01-01T00:00:05Z"},
            "spec": {"containers": [{"image": "x"}]},
            "status": {"phase": "Failed", "reason": "OutOfpods", "message": "too many pods"},
        }
    )
    assert (refused.outcome, refused.message) == ("failed", "too many pods")
    assert (refused.size, refused.node, refused.deleted) == (0, "", 5.0)


def test_what_users_wait_for() -> None:
    user: dict[str, Any] = {
        "metadata": {"name": "jupyter-1"},
        "spec": {
            "nodeName": "n",
            "initContainers": [{"name": "block", "image": "b"}],
            "containers": [{"name": "notebook", "image": "x/y:1"}],
        },
        "status": {
            "phase": "Pending",
            "initContainerStatuses": [{"name": "block", "imageID": "sha256:00"}],
        },
    }
    assert is_pulling(user) == ("n", ["docker.io/x/y:1"])
    user["status"]["phase"] = "Running"
    assert is_pulling(user) == ("", [])
    assert is_pulling({"metadata": {"deletionTimestamp": "x"}}) == ("", [])
    waits_for_node = {"metadata": {}, "status": {"phase": "Pending"}}
    assert is_pulling(waits_for_node) == ("", [])
