"""Pods that keep room on a node for a user's server: how they look, and what they say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .nodes import USER_NODE_TOLERATIONS

__all__ = [
    "BUILD",
    "COMPONENT",
    "PlaceholderSettings",
    "PlaceholderState",
    "placeholder_manifest",
    "placeholder_name",
    "read_placeholder",
]

COMPONENT = "binderprogress-placeholder"
"""The label `component` of these pods."""

BUILD = "binderprogress/build"
"""The annotation with the name of the pod of the build that the server waits for."""

_NOBODY = 65534
_LONGEST_KEY = 32


class PlaceholderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What all placeholders have in common.

    Attributes
    ----------
    requests : mapping
        The resources that a user's server requests.
    image : str
        What runs in it, and does nothing.
    pulled_images : sequence of str
        Images whose layers are pulled to the node, too.
    node_selector : mapping
    tolerations : sequence of mapping
        Besides those of z2jh's user nodes.
    priority_class, scheduler : str
        Empty: the default ones.
    pull_secrets : sequence of str
    max_seconds : int
        After which Kubernetes ends it, whatever becomes of us.
    installation : str
    """

    requests: Mapping[str, str]
    image: str
    pulled_images: Sequence[str] = ()
    node_selector: Mapping[str, str] = {}
    tolerations: Sequence[Mapping[str, Any]] = ()
    priority_class: str = ""
    scheduler: str = ""
    pull_secrets: Sequence[str] = ()
    max_seconds: int
    installation: str = ""


class PlaceholderState(msgspec.Struct, frozen=True):
    """What is known of a placeholder.

    Attributes
    ----------
    node : str
        Empty until it has one.
    waits_for_node : bool
        Whether no node has room for it.
    has_pulled : bool
        Whether its node has the images.
    is_over : bool
        Whether it keeps no room any more: it was ended, or more important pods took its place.
    """

    node: str = ""
    waits_for_node: bool = False
    has_pulled: bool = False
    is_over: bool = False


def placeholder_name(key: str) -> str:
    """Return the name of the placeholder for the server of a request's key."""
    return f"{COMPONENT}-{re.sub(r'[^a-z0-9]', '', key.lower())[:_LONGEST_KEY]}"


def placeholder_manifest(settings: PlaceholderSettings, *, name: str, build: str) -> dict[str, Any]:
    """Return a pod that keeps room for a server.

    It has no rights. The images that are only pulled are those of containers that run before, one
    after the other. Their command need not exist: a container that cannot be started has been
    pulled, too.

    Parameters
    ----------
    settings : PlaceholderSettings
    name : str
    build : str
        The name of the pod of the build.
    """
    room = dict(settings.requests)
    pulls = [
        {
            **_container(f"pull-{number}", image, {"cpu": "1m", "memory": "8Mi"}),
            "command": ["/bin/true"],
        }
        for number, image in enumerate(settings.pulled_images)
    ]
    spec: dict[str, Any] = {
        "initContainers": pulls,
        "containers": [_container("room", settings.image, room)],
        # A container that cannot be started is tried again, and the room stays.
        "restartPolicy": "Always",
        "activeDeadlineSeconds": settings.max_seconds,
        # It gives way at once.
        "terminationGracePeriodSeconds": 0,
        "nodeSelector": dict(settings.node_selector),
        "tolerations": [*map(dict, USER_NODE_TOLERATIONS), *map(dict, settings.tolerations)],
        "imagePullSecrets": [{"name": secret} for secret in settings.pull_secrets],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
            "runAsGroup": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if settings.priority_class:
        spec["priorityClassName"] = settings.priority_class
    if settings.scheduler:
        spec["schedulerName"] = settings.scheduler
    annotations = {
        BUILD: build,
        # The autoscaler may remove a node on which nothing else runs.
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
    }
    if settings.installation:
        annotations["binderprogress/installation"] = settings.installation
    metadata = {"name": name, "labels": {"component": COMPONENT}, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def read_placeholder(pod: Mapping[str, Any]) -> PlaceholderState:
    """Read the state of a placeholder, as the API server sends it."""
    status = pod.get("status") or {}
    waits = any(
        condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable"
        for condition in status.get("conditions") or ()
    )
    pulls = status.get("initContainerStatuses") or ()
    return PlaceholderState(
        node=str(pod["spec"].get("nodeName") or ""),
        waits_for_node=waits,
        has_pulled=bool(pulls) and all(each.get("imageID") for each in pulls),
        is_over=status.get("phase") in {"Failed", "Succeeded"}
        or bool(pod["metadata"].get("deletionTimestamp")),
    )


def _container(name: str, image: str, resources: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        # The same limits, which a quota may demand, and devices such as GPUs need.
        "resources": {"requests": dict(resources), "limits": dict(resources)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
