"""Pods that pull an image to a node and do nothing else: how they look, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from .nodes import normal_name, seconds_of

__all__ = [
    "COMPONENT",
    "PullOutcome",
    "PullPod",
    "is_pulling",
    "pull_manifest",
    "read_pull",
]

COMPONENT = "binderprogress-prepull"
"""The label `component` of these pods."""

PullOutcome = Literal["pulling", "pulled", "failed"]
"""What has become of a pull."""

_CONTAINER = "pull"
_SIZE = "binderprogress/size"
_NOBODY = 65534
# A kubelet says these instead of pulling, or when it has failed.
_NOT_PULLED = {
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
_NOT_YET = {"", "ContainerCreating", "PodInitializing"}


class PullPod(msgspec.Struct, frozen=True, kw_only=True):
    """The state of such a pod.

    Attributes
    ----------
    name, uid, node : str
    image : str
        Its normal name.
    size : int
        Bytes that the image was expected to take.
    created : float
        In seconds since 1970.
    deleted : float
        When it is to be gone, if it is being deleted, in seconds since 1970; else 0.
    outcome : str
    message : str
        Why the image could not be pulled.
    """

    name: str
    uid: str
    node: str
    image: str
    size: int
    created: float
    deleted: float
    outcome: PullOutcome
    message: str = ""


def pull_manifest(
    *,
    name: str,
    node: str,
    image: str,
    size: int,
    tolerations: Sequence[Mapping[str, Any]] = (),
    secrets: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the pod that pulls an image to a node.

    It has the least rights and resources. Its command need not exist: a container that cannot be
    started has been pulled, too.

    Parameters
    ----------
    name, node, image : str
    size : int
        Bytes that the image is expected to take.
    tolerations : sequence of mapping
    secrets : sequence of str
        With which the image may be pulled.
    """
    spec = {
        # It is not for the scheduler, which would not put it on a node that is full.
        "nodeName": node,
        "containers": [_container(image)],
        "restartPolicy": "Never",
        "tolerations": list(map(dict, tolerations)),
        "imagePullSecrets": [{"name": secret} for secret in secrets],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
            "runAsGroup": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    metadata = {
        "name": name,
        "labels": {"component": COMPONENT},
        "annotations": {
            _SIZE: str(size),
            # The autoscaler keeps nodes with pods that no controller would create again.
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
        },
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _container(image: str) -> dict[str, Any]:
    return {
        "name": _CONTAINER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/true"],
        "resources": {
            "requests": {"cpu": "1m", "memory": "8Mi"},
            "limits": {"cpu": "50m", "memory": "32Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }


def read_pull(pod: Mapping[str, Any]) -> PullPod:
    """Read the state of such a pod, as the API server sends it."""
    metadata, spec = pod["metadata"], pod["spec"]
    outcome, message = _outcome(pod.get("status") or {})
    size = str((metadata.get("annotations") or {}).get(_SIZE, ""))
    return PullPod(
        name=metadata["name"],
        uid=metadata["uid"],
        node=str(spec.get("nodeName") or ""),
        image=normal_name(spec["containers"][0]["image"]),
        size=int(size) if size.isascii() and size.isdigit() else 0,
        created=seconds_of(metadata.get("creationTimestamp")),
        deleted=seconds_of(metadata.get("deletionTimestamp")),
        outcome=outcome,
        message=message,
    )


def _outcome(status: Mapping[str, Any]) -> tuple[PullOutcome, str]:
    container: Mapping[str, Any] = next(iter(status.get("containerStatuses") or ()), {})
    state = container.get("state") or {}
    ended = state.get("terminated") or {}
    waiting = state.get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    if reason in _NOT_PULLED:
        return "failed", f"{reason}: {waiting.get('message') or ''}".strip(": ")
    # A container that is created, or should have been, has its image.
    was_lost = ended.get("reason") == "ContainerStatusUnknown"
    if container.get("imageID") or "running" in state or (ended and not was_lost):
        return "pulled", ""
    if reason not in _NOT_YET:
        return "pulled", ""
    if status.get("phase") in {"Failed", "Succeeded"}:
        # The kubelet did not take it, or has lost it.
        return "failed", str(status.get("message") or status.get("reason") or "the pod has ended")
    return "pulling", ""


def is_pulling(pod: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return where a user's pod is being created, and which images it needs.

    Returns
    -------
    node : str
        Empty if it is not being created, or no node has been chosen.
    images : list of str
        Normal names of the images of containers that wait.
    """
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    is_created = status.get("phase") == "Pending" and not pod["metadata"].get("deletionTimestamp")
    if not is_created:
        return "", []
    has_image = {
        each.get("name")
        for kind in ("initContainerStatuses", "containerStatuses")
        for each in status.get(kind) or ()
        if each.get("imageID")
    }
    images = [
        normal_name(container["image"])
        for kind in ("initContainers", "containers")
        for container in spec.get(kind) or ()
        if container["name"] not in has_image
    ]
    return str(spec.get("nodeName") or ""), images
