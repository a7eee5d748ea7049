"""Reads the states of nodes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

__all__ = ["USER_NODE_TOLERATIONS", "NodeState", "normal_name", "read_node", "seconds_of"]

USER_NODE_TOLERATIONS: Sequence[Mapping[str, str]] = tuple(
    {"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"}
    # GKE allows no "/" in the keys of taints.
    for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")
)
"""Tolerations of the taints of z2jh's nodes for users."""

# A kubelet reports this many images by default (nodeStatusMaxImages), the largest ones.
_MOST_REPORTED = 50
_UNITS = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": 1024**power for power, unit in enumerate("KMGTPE", 1)},
}
_QUANTITY = re.compile(r"(\d{1,20})(?:\.\d*)?([kMGTPE]|[KMGTPE]i)?", re.ASCII)
# The autoscaler is about to remove such a node, although it still takes pods.
_LEAVING = "DeletionCandidateOfClusterAutoscaler"
_HINDERING = {"NoSchedule", "NoExecute"}


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a node.

    Attributes
    ----------
    name, uid : str
    created : float
        In seconds since 1970.
    obstacle : str
        Why no pod should be put there: ``not-ready``, ``disk-pressure``, ``cordoned``, ``leaving``
        or ``tainted``. Empty if nothing speaks against it.
    disk : int
        Size of the disk that has the images, in bytes; 0 if it is not known.
    images : mapping of str to int
        Bytes that each reported image takes on the disk, by each of its normal names.
    occupied : int
        Bytes that all reported images take.
    lists_all : bool
        Whether there are no other images than these.
    """

    name: str
    uid: str
    created: float = 0.0
    obstacle: str = ""
    disk: int = 0
    images: Mapping[str, int] = {}
    occupied: int = 0
    lists_all: bool = True


def read_node(
    node: Mapping[str, Any],
    tolerations: Sequence[Mapping[str, Any]] = (),
    *,
    unpacked_factor: float = 1.0,
) -> NodeState:
    """Read the state of a node.

    Parameters
    ----------
    node : mapping
        The object as the API server sends it.
    tolerations : sequence of mapping
        Those of the pods that are to be put there.
    unpacked_factor : float
        How many times its compressed size an image takes on the disk.
    """
    metadata, status = _mapping(node.get("metadata")), _mapping(node.get("status"))
    runtime = str(_mapping(status.get("nodeInfo")).get("containerRuntimeVersion") or "")
    # containerd reports what it has downloaded; Docker and CRI-O what an image takes unpacked.
    factor = unpacked_factor if runtime.startswith("containerd:") else 1.0
    reported = [
        (_list(image.get("names")), int(size * factor))
        for image in map(_mapping, _list(status.get("images")))
        if isinstance(size := image.get("sizeBytes"), int)
    ]
    return NodeState(
        name=str(metadata.get("name") or ""),
        uid=str(metadata.get("uid") or ""),
        created=seconds_of(metadata.get("creationTimestamp")),
        obstacle=_obstacle(node, tolerations),
        disk=_bytes(_mapping(status.get("capacity")).get("ephemeral-storage")),
        # An image has several names: those of its tags, and one with its digest.
        images={normal_name(str(name)): size for names, size in reported for name in names},
        occupied=sum(size for _, size in reported),
        lists_all=len(reported) < _MOST_REPORTED,
    )


def normal_name(image: str) -> str:
    """Return the name of an image with its registry, as nodes report it."""
    host, slash, _ = image.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


def seconds_of(time: Any) -> float:
    """Return a time of Kubernetes in seconds since 1970; 0 if there is none."""
    return datetime.fromisoformat(time).timestamp() if isinstance(time, str) and time else 0.0


def _obstacle(node: Mapping[str, Any], tolerations: Sequence[Mapping[str, Any]]) -> str:
    spec, status = _mapping(node.get("spec")), _mapping(node.get("status"))
    conditions = {
        condition.get("type"): condition.get("status")
        for condition in map(_mapping, _list(status.get("conditions")))
    }
    taints = [_mapping(taint) for taint in _list(spec.get("taints"))]
    if _mapping(node.get("metadata")).get("deletionTimestamp"):
        return "leaving"
    if conditions.get("Ready") != "True":
        return "not-ready"
    if conditions.get("DiskPressure") == "True":
        return "disk-pressure"
    if spec.get("unschedulable"):
        return "cordoned"
    if any(taint.get("key") == _LEAVING for taint in taints):
        return "leaving"
    hindering = [taint for taint in taints if taint.get("effect") in _HINDERING]
    if all(any(_tolerates(each, taint) for each in tolerations) for taint in hindering):
        return ""
    return "tainted"


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    key, value = toleration.get("key") or "", toleration.get("value") or ""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("operator") == "Exists":
        return not key or key == taint.get("key")
    return bool(key == taint.get("key") and value == (taint.get("value") or ""))


def _bytes(quantity: Any) -> int:
    match = _QUANTITY.fullmatch(str(quantity or ""))
    return int(match[1]) * _UNITS[match[2] or ""] if match else 0


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
