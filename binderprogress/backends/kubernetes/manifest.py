"""Build pods as BinderHub makes them, so that a BinderHub joins ours and we join its."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ...core.kubernetes.nodes import USER_NODE_TOLERATIONS
from ...core.rendezvous import ranked

__all__ = ["COMPONENT", "CONTAINER", "PodSettings", "built_image", "manifest", "preferred_node"]

COMPONENT = "binderhub-build"
CONTAINER = "builder"
IMAGE_BUILDERS = "component=image-builder,app=binder"
"""The pods of docker or podman on each node, which BinderHub's chart starts."""

_SOCKET = "/var/run/docker.sock"


class PodSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What all build pods have in common; see `KubernetesBuilder` for each."""

    build_image: str
    image_pull_secrets: Sequence[str] = ()
    docker_host: str = ""
    push_secret: str = ""
    registry_credentials: Mapping[str, str] = {}
    git_credentials: str = ""
    resources: Mapping[str, Any] = {}
    node_selector: Mapping[str, str] = {}
    tolerations: Sequence[Mapping[str, Any]] = ()
    extra_envs: Mapping[str, str] = {}
    active_deadline: int = 0
    installation: str = ""


def manifest(
    settings: PodSettings,
    *,
    name: str,
    repo_url: str,
    image: str,
    arguments: Sequence[str],
    node: str = "",
) -> dict[str, Any]:
    """Return the pod that builds an image.

    Parameters
    ----------
    settings : PodSettings
    name, repo_url, image : str
        Of the pod, the repository, and the image that it makes.
    arguments : sequence of str
        The command line in its container.
    node : str
        The host name of the node that is preferred; empty: any other than those of other builds.
    """
    mounts, volumes = _volumes(settings)
    container = {
        "name": CONTAINER,
        "image": settings.build_image,
        "args": list(arguments),
        "env": _environment(settings),
        "resources": dict(settings.resources),
        "volumeMounts": mounts,
    }
    spec: dict[str, Any] = {
        "containers": [container],
        "volumes": volumes,
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
    annotations = {"binder-repo": repo_url, "binderprogress/image": image}
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


def _environment(settings: PodSettings) -> list[dict[str, str]]:
    values = dict(settings.extra_envs)
    if settings.git_credentials:
        values["GIT_CREDENTIAL_ENV"] = settings.git_credentials
    if settings.registry_credentials:
        values["CONTAINER_ENGINE_REGISTRY_CREDENTIALS"] = json.dumps(
            dict(settings.registry_credentials)
        )
    return [{"name": name, "value": value} for name, value in values.items()]


def _volumes(settings: PodSettings) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what is mounted where, and the volumes."""
    mounts: list[dict[str, Any]] = []
    volumes: list[dict[str, Any]] = []
    if settings.docker_host:
        path = urlsplit(settings.docker_host).path
        mounts.append({"name": "docker-socket", "mountPath": _SOCKET})
        volumes.append({"name": "docker-socket", "hostPath": {"path": path, "type": "Socket"}})
    if settings.push_secret and not settings.registry_credentials:
        config = "config.json"
        mounts.append(
            {"name": "docker-config", "mountPath": f"/root/.docker/{config}", "subPath": config}
        )
        volumes.append({"name": "docker-config", "secret": {"secretName": settings.push_secret}})
    return mounts, volumes


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
