"""States of nodes, and what is known of their images."""

from __future__ import annotations

from typing import Any

import pytest

from binderprogress.core.kubernetes.node_images import NodeImages
from binderprogress.core.kubernetes.nodes import (
    USER_NODE_TOLERATIONS,
    NodeState,
    normal_name,
    read_node,
)

READY = [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]


def node(**changes: Any) -> dict[str, Any]:
    names = ["registry.example.org/binder-x@sha256:00", "registry.example.org/binder-x:c0"]
    status = {
        "conditions": READY,
        "capacity": {"cpu": "8", "ephemeral-storage": "100Ki"},
        "images": [{"names": names, "sizeBytes": 7}, {"names": ["busybox:1"], "sizeBytes": 2}],
    }
    metadata = {"name": "n", "uid": "u", "creationTimestamp": "1970-01-01T00:01:00Z"}
    made: dict[str, Any] = {"metadata": metadata, "spec": {}, "status": status}
    for key, value in changes.items():
        made[key] = {**made[key], **value}
    return made


def taint(key: str, effect: str = "NoSchedule", **more: str) -> dict[str, Any]:
    return node(spec={"taints": [{"key": key, "effect": effect, **more}]})


def test_what_a_node_says() -> None:
    assert read_node(node()) == NodeState(
        name="n",
        uid="u",
        created=60.0,
        disk=102_400,
        images={
            "registry.example.org/binder-x@sha256:00": 7,
            "registry.example.org/binder-x:c0": 7,
            "docker.io/library/busybox:1": 2,
        },
        occupied=9,
    )
    assert read_node({}) == NodeState(name="", uid="", obstacle="not-ready")


@pytest.mark.parametrize(
    ("runtime", "factor"),
    [("containerd://1.6.20", 2.5), ("docker://27.0.1", 1), ("cri-o://1.31.0", 1), (None, 1)],
)
def test_containerd_reports_compressed_sizes(runtime: str | None, factor: float) -> None:
    info = {"nodeInfo": {"containerRuntimeVersion": runtime}}
    state = read_node(node(status=info), unpacked_factor=2.5)
    assert state.images["docker.io/library/busybox:1"] == 2 * factor
    assert state.occupied == int(7 * factor) + int(2 * factor)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("busybox", "docker.io/library/busybox"),
        ("jupyter/base:1", "docker.io/jupyter/base:1"),
        ("localhost/x", "localhost/x"),
        ("registry:5000/x:1", "registry:5000/x:1"),
    ],
)
def test_names_of_images(image: str, name: str) -> None:
    assert normal_name(image) == name


@pytest.mark.parametrize(
    ("quantity", "size"),
    [("5", 5), ("2k", 2000), ("3Mi", 3 * 2**20), ("1.5Gi", 2**30), ("x", 0), (None, 0)],
)
def test_sizes_of_disks(quantity: str | None, size: int) -> None:
    assert read_node(node(status={"capacity": {"ephemeral-storage": quantity}})).disk == size


@pytest.mark.parametrize(
    ("state", "obstacle"),
    [
        (node(), ""),
        (node(status={"conditions": [{"type": "Ready", "status": "Unknown"}]}), "not-ready"),
        (
            node(status={"conditions": [READY[0], {"type": "DiskPressure", "status": "True"}]}),
            "disk-pressure",
        ),
        (node(spec={"unschedulable": True}), "cordoned"),
        (node(metadata={"deletionTimestamp": "2026-11-30T00:00:00Z"}), "leaving"),
        (taint("DeletionCandidateOfClusterAutoscaler", "PreferNoSchedule"), "leaving"),
        (taint("ToBeDeletedByClusterAutoscaler"), "tainted"),
        (taint("other", "PreferNoSchedule"), ""),
        (taint("hub.jupyter.org/dedicated", value="user"), ""),
        (taint("hub.jupyter.org/dedicated", value="core"), "tainted"),
        (taint("hub.jupyter.org/dedicated", "NoExecute", value="user"), "tainted"),
        (taint("any"), "tainted"),
    ],
)
def test_nodes_that_should_get_no_pods(state: dict[str, Any], obstacle: str) -> None:
    assert read_node(state, USER_NODE_TOLERATIONS).obstacle == obstacle


def test_a_toleration_of_everything() -> None:
    assert read_node(taint("any"), [{"operator": "Exists"}]).obstacle == ""
    assert read_node(taint("any"), [{"operator": "Exists", "key": "other"}]).obstacle == "tainted"


def of(*names: str, lists_all: bool = True) -> NodeState:
    images = dict.fromkeys(names, 5)
    occupied = sum(images.values())
    return NodeState(name="n", uid="u", images=images, occupied=occupied, lists_all=lists_all)


def test_an_image_is_there_from_the_pull_until_the_node_says_otherwise() -> None:
    images = NodeImages()
    images.update([of("a")], 0.0)
    images.pulled("gone", "x", 3, 0.0)
    images.pulled("u", "x", 3, 0.0)
    images.update([of("a")], 60.0)
    assert (images.held("u"), images.ours("u"), images.occupied("u")) == (
        {"a": 5, "x": 3},
        {"x"},
        8,
    )
    # The node reports it, with another size.
    images.update([of("a", "x")], 70.0)
    assert (images.held("u"), images.occupied("u")) == ({"a": 5, "x": 5}, 10)
    # … and has removed it.
    images.update([of("a")], 71.0)
    assert images.ours("u") == {"x"}
    images.update([of("a")], 300.0)
    assert (images.held("u"), images.ours("u"), images.occupied("u")) == ({"a": 5}, set(), 5)
    images.pulled("u", "x", 3, 300.0)
    images.update([], 301.0)
    images.update([of()], 302.0)
    assert images.held("u") == {}


def test_a_node_with_many_images_does_not_report_them_all() -> None:
    reported = [{"names": [f"i{number}"], "sizeBytes": 1} for number in range(50)]
    assert read_node(node(status={"images": reported[:49]})).lists_all
    assert not read_node(node(status={"images": reported})).lists_all
    images = NodeImages()
    images.update([of()], 0.0)
    images.pulled("u", "x", 3, 0.0)
    images.update([of("a", lists_all=False)], 3600.0)
    assert images.ours("u") == {"x"}
    images.update([of("a", lists_all=False)], 7 * 3600.0)
    assert images.ours("u") == set()


def test_what_was_pulled_is_forgotten_although_the_node_says_nothing_new() -> None:
    images, state = NodeImages(), of("a")
    images.update([state], 0.0)
    images.pulled("u", "x", 3, 0.0)
    images.update([state], 60.0)
    assert images.held("u") == {"a": 5, "x": 3}
    images.update([state], 300.0)
    assert images.held("u") == {"a": 5}


def test_sizes_are_known_from_any_node() -> None:
    images = NodeImages()
    images.update([of("a", "b")], 0.0)
    images.update([], 1.0)
    images.keep_sizes({"a"})
    assert images.sizes() == {"a": 5}


def test_a_pull_that_was_given_up_may_have_succeeded() -> None:
    images = NodeImages()
    images.update([of()], 0.0)
    images.attempted("u", "x")
    images.update([of()], 10.0)
    assert images.ours("u") == set()
    images.update([of("x", "y")], 20.0)
    assert images.ours("u") == {"x"}
