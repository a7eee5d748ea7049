"""Requests about nodes, and about leases of Kubernetes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from .api import KubeApi, KubeError, Listing

__all__ = ["ClusterApi"]

_NODES = "/api/v1/nodes"


class ClusterApi(KubeApi):
    """Sends requests for the nodes of the cluster, besides those for one namespace."""

    async def nodes(self, selector: str) -> Listing:
        """List the nodes with these labels."""
        return await self._list(_NODES, labelSelector=selector)

    def watch_nodes(
        self, selector: str, version: str
    ) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
        """Watch the nodes with these labels; see `KubeApi.watch_pods`."""
        return self._watch(_NODES, version, labelSelector=selector)

    async def lease(self, name: str) -> dict[str, Any] | None:
        """Return a lease; None if there is none of this name."""
        try:
            return await self._object("GET", f"{self._leases}/{name}")
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    async def create_lease(self, lease: Mapping[str, Any]) -> dict[str, Any]:
        """Create a lease.

        Raises
        ------
        KubeError
            409 if there is one of this name.
        """
        return await self._object("POST", self._leases, body=dict(lease))

    async def replace_lease(self, lease: Mapping[str, Any]) -> dict[str, Any]:
        """Replace a lease.

        Raises
        ------
        KubeError
            409 if it is not in its newest version.
        """
        name = lease["metadata"]["name"]
        return await self._object("PUT", f"{self._leases}/{name}", body=dict(lease))

    @property
    def _leases(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"
