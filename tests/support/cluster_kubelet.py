"""Nodes without containers, for a real control plane: a test plays their kubelet.

The nodes are there for the scheduler and for the controllers, with whatever a test says that they
have. Pods that are deleted end at once. Their logs go through the real API server.
"""

from __future__ import annotations

import asyncio
import datetime
import itertools
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import aiohttp
from aiohttp import web

from .cluster import Admin, ApiError, Cluster, Namespace

__all__ = ["Kubelet", "kubelet"]

_BEAT = 1.0
"""Seconds between signs of life."""

_PAUSE = 0.2
"""Seconds between attempts to watch."""

CAPACITY = {"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "100Gi"}
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_CONDITIONS = {
    "Ready": "True",
    "MemoryPressure": "False",
    "DiskPressure": "False",
    "PIDPressure": "False",
}

Object = dict[str, Any]


class Kubelet:
    """The kubelet of some nodes, for the pods of one namespace.

    Attributes
    ----------
    nodes : list of str
    port : int
        Where it answers for logs.
    holds_deleted : bool
        Whether pods that are to be deleted stay, as if their processes did not end.
    log_status : int
        What requests for logs are answered with; 0: the log.
    """

    def __init__(self, cluster: Cluster, namespace: Namespace) -> None:
        self.nodes: list[str] = []
        self.holds_deleted = False
        self.log_status = 0
        self._cluster, self._namespace = cluster, namespace
        self._admin: Admin = namespace.admin
        self._lost: set[str] = set()
        self._logs: defaultdict[str, list[bytes]] = defaultdict(list)
        self._ended: set[str] = set()
        self._changed = asyncio.Event()
        self._numbers = itertools.count(1)
        self.port = 0

    # -- nodes

    async def add_node(self, name: str, *, taints: Sequence[Object] = (), **capacity: str) -> None:
        """Add a node that is ready. Its capacity is `CAPACITY` unless something else is given.

        Its whole name begins with that of the namespace.
        """
        name = f"{self._namespace.name}-{name}"
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
        node = {"metadata": {"name": name, "labels": labels}, "spec": {"taints": list(taints)}}
        await self._admin.request("POST", "/api/v1/nodes", node)
        self.nodes.append(name)
        has = CAPACITY | {each.replace("__", "/"): value for each, value in capacity.items()}
        conditions = [
            {"type": kind, "status": status, "reason": "Kubelet", "message": "", **_now_twice()}
            for kind, status in _CONDITIONS.items()
        ]
        status = {
            "capacity": has,
            "allocatable": has,
            "conditions": conditions,
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}},
        }
        await self._admin.request("PATCH", f"/api/v1/nodes/{name}/status", {"status": status})
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": _now()}
        await self._admin.request("POST", _LEASES, {"metadata": {"name": name}, "spec": spec})

    def lose(self, name: str) -> None:
        """Let a node give no more sign of life, nor answer for its logs."""
        self._lost.add(name)
        self.log_status = 500

    async def remove_node(self, name: str) -> None:
        """Remove a node, as the controller of a cloud does if the machine is gone."""
        self.nodes.remove(name)
        await self._admin.request("DELETE", f"/api/v1/nodes/{name}")
        await self._admin.request("DELETE", f"{_LEASES}/{name}")

    async def beat(self) -> None:
        """Give signs of life for ever."""
        merge = "application/merge-patch+json"
        while True:
            with suppress(aiohttp.ClientError):  # the API server is started again
                for name in {*self.nodes} - self._lost:
                    lease = {"spec": {"renewTime": _now()}}
                    await self._admin.request("PATCH", f"{_LEASES}/{name}", lease, content=merge)
            await asyncio.sleep(_BEAT)

    async def end_deleted(self) -> None:
        """Let pods go that are to be deleted, for ever."""
        while True:
            with suppress(aiohttp.ClientError):  # the API server is started again
                await self._end_deleted()
            await asyncio.sleep(_PAUSE)

    async def _end_deleted(self) -> None:
        async with aclosing(self._admin.watch(f"{self._namespace.path}/pods")) as changes:
            async for change, pod in changes:
                if change not in {"ADDED", "MODIFIED"}:
                    continue
                is_ours = pod["spec"].get("nodeName") in {*self.nodes} - self._lost
                if is_ours and "deletionTimestamp" in pod["metadata"] and not self.holds_deleted:
                    await self.release(pod)

    async def release(self, pod: Object) -> None:
        """Let one pod go."""
        name = pod["metadata"]["name"]
        self._end_log(name)
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        with suppress(ApiError):  # somebody else was faster
            await self._admin.request("DELETE", f"{self._namespace.path}/pods/{name}", options)

    # -- pods

    async def bound(self, name: str = "") -> str:
        """Wait until a pod has a node. Return the pod's name."""
        pod = await self._namespace.until(
            lambda _, found: (
                found["spec"].get("nodeName") in self.nodes
                and name in {"", found["metadata"]["name"]}
            )
        )
        return str(pod["metadata"]["name"])

    async def run(self, name: str = "") -> str:
        """Start a pod's container when it has a node. Return the pod's name."""
        name = await self.bound(name)
        # There may have been another pod of this name.
        self._logs[name] = []
        self._ended.discard(name)
        for reason, message in (
            ("Pulling", 'Pulling image "quay.io/x"'),
            ("Pulled", 'Successfully pulled image "quay.io/x" in 1.5s'),
            ("Created", "Created container builder"),
            ("Started", "Started container builder"),
        ):
            await self.say(name, reason, message)
        await self.set(name, "Running", {"running": {"startedAt": _now()}})
        return name

    async def exit(self, name: str, code: int = 0, reason: str = "") -> None:
        """End a pod's container."""
        self._end_log(name)
        terminated = {
            "exitCode": code,
            "reason": reason or ("Error" if code else "Completed"),
            "startedAt": _now(),
            "finishedAt": _now(),
        }
        await self.set(name, "Failed" if code else "Succeeded", {"terminated": terminated})

    async def set(self, name: str, phase: str, state: Object, **status: str) -> None:
        """Set the state of a pod and of its containers."""
        path = f"{self._namespace.path}/pods/{name}"
        pod = await self._admin.request("GET", path)
        containers = [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": phase == "Running",
                "restartCount": 0,
                "state": state,
            }
            for container in pod["spec"]["containers"]
        ]
        ready = {"type": "Ready", "status": str(phase == "Running"), "lastTransitionTime": _now()}
        new = {
            "phase": phase,
            "containerStatuses": containers,
            "conditions": [ready],
            "startTime": _now(),
            **status,
        }
        await self._admin.request("PATCH", f"{path}/status", {"status": new})

    async def say(self, name: str, reason: str, message: str, *, kind: str = "Normal") -> None:
        """Record an event about a pod, as a kubelet does."""
        pod = await self._admin.request("GET", f"{self._namespace.path}/pods/{name}")
        event = {
            "metadata": {"name": f"{name}.{next(self._numbers):x}"},
            "involvedObject": {
                "kind": "Pod",
                "apiVersion": "v1",
                "namespace": self._namespace.name,
                "name": name,
                "uid": pod["metadata"]["uid"],
                "fieldPath": "spec.containers{builder}",
            },
            "reason": reason,
            "message": message,
            "type": kind,
            "source": {"component": "kubelet", "host": pod["spec"].get("nodeName", "")},
            "firstTimestamp": _now()[:19] + "Z",
            "lastTimestamp": _now()[:19] + "Z",
            "count": 1,
        }
        await self._namespace.create("events", event)

    # -- logs

    def write(self, name: str, *lines: str) -> None:
        """Write lines to a log."""
        self._logs[name] += [f"{_now_nanoseconds()} {line}\n".encode() for line in lines]
        self._wake()

    def write_raw(self, name: str, text: bytes) -> None:
        """Write what need not be a line."""
        self._logs[name].append(text)
        self._wake()

    def _end_log(self, name: str) -> None:
        self._ended.add(name)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def serve_log(self, request: web.Request) -> web.StreamResponse:
        """Answer the API server's request for a log."""
        name = request.match_info["pod"]
        if self.log_status:
            return web.Response(status=self.log_status, text="the node does not answer")
        pod = await self._admin.request("GET", f"{self._namespace.path}/pods/{name}")
        states = [each["state"] for each in pod["status"].get("containerStatuses", ())]
        if not states or "waiting" in states[0]:
            reason = states[0]["waiting"].get("reason") if states else "ContainerCreating"
            text = f'container "builder" in pod "{name}" is waiting to start: {reason}'
            return web.Response(status=400, text=text)
        assert request.query["timestamps"] == "true", "the double of a kubelet knows no other"
        since = request.query.get("sinceTime", "").removesuffix("Z").encode()
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        with suppress(ConnectionResetError):  # nobody follows any more
            await self._send_log(name, response, since, follow="follow" in request.query)
        return response

    async def _send_log(
        self, name: str, response: web.StreamResponse, since: bytes, *, follow: bool
    ) -> None:
        sent = 0
        while True:
            changed = self._changed
            lines = self._logs[name][sent:]
            sent += len(lines)
            wanted = [each for each in lines if not each[:1].isdigit() or each[:19] >= since]
            await response.write(b"".join(wanted))
            if not follow or name in self._ended:
                return
            await changed.wait()


@asynccontextmanager
async def kubelet(cluster: Cluster, namespace: Namespace) -> AsyncIterator[Kubelet]:
    """Play the kubelet of nodes that a test adds. They are removed afterwards."""
    playing = Kubelet(cluster, namespace)
    app = web.Application()
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", playing.serve_log)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(cluster.folder / "server.crt", cluster.folder / "server.key")
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    playing.port = runner.addresses[0][1]
    try:
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(playing.beat()),
                tasks.create_task(playing.end_deleted()),
            ]
            try:
                yield playing
            finally:
                for task in background:
                    task.cancel()
    finally:
        for name in list(playing.nodes):
            await playing.remove_node(name)
        await runner.cleanup()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _now_nanoseconds() -> str:
    return _now().removesuffix("Z") + "000Z"


def _now_twice() -> Object:
    now = _now()[:19] + "Z"
    return {"lastHeartbeatTime": now, "lastTransitionTime": now}
