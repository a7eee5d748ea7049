"""Pods of servers, as KubeSpawner makes them."""

from __future__ import annotations

from typing import Any

__all__ = ["pod_of_server"]


def pod_of_server(name: str, user: str, server: str = "") -> dict[str, Any]:
    """Return the pod of a user's server. The name of a default server is empty."""
    annotations = {"hub.jupyter.org/username": user}
    if server:
        annotations["hub.jupyter.org/servername"] = server
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"component": "singleuser-server"},
            "annotations": annotations,
        },
        "spec": {"containers": [{"name": "notebook", "image": "quay.io/x"}]},
    }
