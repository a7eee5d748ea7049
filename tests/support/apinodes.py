"""The strict double of an API server, with nodes and leases. A test plays their kubelets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from .apiserver import NAMESPACE, ApiServer, Object

__all__ = ["NodeApiServer"]

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
_READY = [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]


class NodeApiServer(ApiServer):
    """One namespace, and the nodes of the cluster.

    Attributes
    ----------
    nodes : dict of str to dict
    leases : dict of str to dict
    most_pods : int
        The largest number of pods that there were at the same time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.nodes: dict[str, Object] = {}
        self.leases: dict[str, Object] = {}
        self.most_pods = 0

    # -- what kubelets do

    def set_node(
        self,
        name: str,
        *,
        images: Mapping[str, int] | None = None,
        conditions: list[Object] = _READY,
        created: str = "2026-11-29T00:00:00Z",
        runtime: str = "docker://27.0.1",
        **spec: Any,
    ) -> None:
        """Add a node, or have it report another state."""
        is_new = name not in self.nodes
        uid = f"node-{next(self._uids)}" if is_new else self.nodes[name]["metadata"]["uid"]
        node = {
            "metadata": {"name": name, "uid": uid, "creationTimestamp": created, "labels": {}},
            "spec": spec,
            "status": {
                "conditions": conditions,
                "capacity": {"ephemeral-storage": "100Gi"},
                "nodeInfo": {"containerRuntimeVersion": runtime},
                "images": [
                    {"names": [image], "sizeBytes": size} for image, size in (images or {}).items()
                ],
            },
        }
        self.nodes[name] = self._note("nodes", "ADDED" if is_new else "MODIFIED", node)

    def remove_node(self, name: str) -> None:
        """Remove a node."""
        self._note("nodes", "DELETED", self.nodes.pop(name))

    def add_user(self, name: str, node: str, image: str) -> None:
        """Put the pod of a user's server on a node, whose image is still to be pulled."""
        pod = {
            "metadata": {
                "name": name,
                "uid": f"uid-{next(self._uids)}",
                "labels": {"component": "singleuser-server"},
            },
            "spec": {"nodeName": node, "containers": [{"name": "notebook", "image": image}]},
            "status": {"phase": "Pending"},
        }
        self._store(name, pod, change="ADDED")

    @property
    def pulls(self) -> dict[str, tuple[str, str]]:
        """The node and the image of each pod that pulls, by its name."""
        return {
            name: (pod["spec"]["nodeName"], pod["spec"]["containers"][0]["image"])
            for name, pod in self.pods.items()
            if pod["metadata"]["labels"]["component"] == "binderprogress-prepull"
        }

    # -- requests

    def routes(self) -> web.Application:
        """Return the application."""
        app = super().routes()
        app.router.add_get("/api/v1/{kind:nodes}", self._list)
        app.router.add_get(f"{_LEASES}/{{name}}", self._read_lease)
        app.router.add_post(_LEASES, self._create_lease)
        app.router.add_put(f"{_LEASES}/{{name}}", self._replace_lease)
        return app

    def _items(self, kind: str) -> list[Object]:
        return list(self.nodes.values()) if kind == "nodes" else super()._items(kind)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        answer = await super()._create(request)
        self.most_pods = max(self.most_pods, len(self.pulls))
        return answer

    async def _read_lease(self, request: web.Request) -> web.StreamResponse:
        lease = self.leases.get(request.match_info["name"])
        return web.json_response(lease) if lease is not None else _refused(404, "NotFound")

    async def _create_lease(self, request: web.Request) -> web.StreamResponse:
        lease = await request.json()
        name = lease["metadata"]["name"]
        if name in self.leases:
            return _refused(409, "AlreadyExists")
        assert lease["metadata"]["namespace"] == NAMESPACE
        self.leases[name] = self._note("leases", "ADDED", lease)
        return web.json_response(self.leases[name], status=201)

    async def _replace_lease(self, request: web.Request) -> web.StreamResponse:
        name, lease = request.match_info["name"], await request.json()
        if name not in self.leases:
            return _refused(404, "NotFound")
        versions = [each["metadata"]["resourceVersion"] for each in (lease, self.leases[name])]
        if versions[0] != versions[1]:
            return _refused(409, "Conflict")
        self.leases[name] = self._note("leases", "MODIFIED", lease)
        return web.json_response(self.leases[name])


def _refused(code: int, reason: str) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason}
    return web.json_response(body, status=code)
