"""Build pods as BinderHub makes them, so that a BinderHub joins ours and we join its."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...core.kubernetes.nodes import USER_NODE_TOLERATIONS
from ...core.rendezvous import ranked
from .pod_builder import PodBuild, PodProgram, PodVolume

__all__ = ["COMPONENT", "CONTAINER", "PodSettings", "built_image", "manifest", "preferred_node"]

COMPONENT = "binderhub-build"
CONTAINER = "builder"
IMAGE_BUILDERS = "component=image-builder,app=binder"
"""The pods of docker or podman on each node, which BinderHub's chart starts."""


class PodSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What all build pods have in common; see `KubernetesBuilder` for each."""

    build_image: str
    image_pull_secrets: Sequence[str] = ()
    resources: Mapping[str, Any] = {}
    node_selector: Mapping[str, str] = {}
    tolerations: Sequence[Mapping[str, Any]] = ()
    extra_envs: Mapping[str, str] = {}
    active_deadline: int = 0
    installation: str = ""


def manifest(
    settings: PodSettings,
    build: PodBuild,
    program: PodProgram,
    *,
    name: str,
    node: str = "",
) -> dict[str, Any]:
    """Return the pod that builds an image.

    Parameters
    ----------
    settings : PodSettings
    build : PodBuild
    program : PodProgram
        What its container runs.
    name : str
        Of the pod.
    node : str
        The host name of the node that is preferred; empty: any other than those of other builds.
    """
    variables = {**settings.extra_envs, **program.environment}
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": settings.build_image,
        "args": list(program.arguments),
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        "resources": dict(settings.resources),
        "volumeMounts": [_mount(volume) for volume in program.volumes],
    }
    if program.command:
        container["command"] = list(program.command)
    spec: dict[str, Any] = {
        "containers": [container],
        "volumes": [{"name": each.name, **each.source} for each in program.volumes],
        "restartPolicy": "Never",
        "nodeSelector": dict(settings.node_selector),
        "tolerations": [*map(dict, USER_NODE_TOLERATIONS), *map(dict, settings.tolerations)],
        "affinity": _prefer(node) if node else _AVOID_OTHERS,
        "imagePullSecrets": [{"name": secret} for secret in settings.image_pull_secrets],
        # Attack: a build uses the API server with the rights of the namespace's account.
        "automountServiceAccountToken": False,
    }
    if settings.active_deadline:
        spec["activeDeadlineSeconds"] = settings.active_deadline
    annotations = {"binder-repo": build.repo_url, "binderprogress/image": build.image}
    if settings.installation:
        annotations["binderprogress/installation"] = settings.installation
    metadata = {
        "name": name,
        "labels": {"name": name, "component": COMPONENT},
        "annotations": annotations,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def built_image(pod: Mapping[str, Any]) -> str:
    """Return the name of the image that a pod builds: ours, or one of a BinderHub."""
    annotations = pod["metadata"].get("annotations") or {}
    if image := annotations.get("binderprogress/image"):
        return str(image)
    for container in pod["spec"]["containers"]:
        for argument in container.get("args") or ():
            for option in ("--image=", "--image-name="):
                if argument.startswith(option):
                    return str(argument.removeprefix(option))
    return ""


def preferred_node(builders: Sequence[Mapping[str, Any]], repo_url: str) -> str:
    """Return the node on which a repository's earlier builds have their layers; empty if none."""
    nodes = {str(pod["spec"].get("nodeName") or "") for pod in builders} - {""}
    return ranked(repo_url, nodes)[0] if nodes else ""


def _mount(volume: PodVolume) -> dict[str, str]:
    mount = {"name": volume.name, "mountPath": volume.path}
    return {**mount, "subPath": volume.file} if volume.file else mount


def _prefer(node: str) -> dict[str, Any]:
    host = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    term = {"weight": 100, "preference": {"matchExpressions": [host]}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}


_AVOID_OTHERS = {
    "podAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 100,
                "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {"component": COMPONENT}},
                },
            }
        ]
    }
}
