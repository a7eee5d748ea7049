"""One test on a real control plane: a namespace, a kubelet that the test plays, and builders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .cluster import Cluster, Namespace
from .cluster_builds import Builders, builders
from .cluster_kubelet import Kubelet, kubelet

__all__ = ["MANIFESTS", "Scene", "scene", "shipped_rules"]

MANIFESTS = Path(__file__).parents[2] / "share" / "binderprogress" / "kubernetes"


def shipped_rules() -> list[dict[str, Any]]:
    """Return the rules of the Role in the manifests."""
    role = yaml.safe_load((MANIFESTS / "base" / "role.yaml").read_text())
    rules: list[dict[str, Any]] = role["rules"]
    return rules


@dataclass
class Scene:
    """What a test has."""

    cluster: Cluster
    namespace: Namespace
    kubelet: Kubelet
    builders: Builders


@asynccontextmanager
async def scene(
    cluster: Cluster,
    *,
    rules: list[dict[str, Any]] | None = None,
    url: str = "",
) -> AsyncIterator[Scene]:
    """Set the scene for a test, without nodes.

    Parameters
    ----------
    cluster : Cluster
    rules : list of dict, optional
        What builders may do; the default is that of the manifests.
    url : str
        The address at which builders reach the API server, if not its own.
    """
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(cluster.admin())
        namespace = await stack.enter_async_context(admin.namespace())
        await namespace.grant(shipped_rules() if rules is None else rules)
        playing = await stack.enter_async_context(kubelet(cluster, namespace))
        config = cluster.kubeconfig("builder", url=url)
        made = await stack.enter_async_context(builders(config, namespace.name))
        yield Scene(cluster, namespace, playing, made)
