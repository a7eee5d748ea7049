"""A cluster in memory whose kubelets pull images, for a virtual clock.

It has what the prepuller asks of the API server, and checks what it may not do. Kubelets pull one
image after the other, report their 50 largest images, and remove those that were not used for the
longest time if the disk is full.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from typing import Any

from binderprogress.backends.kubernetes.api import KubeError, Listing

__all__ = ["FakeCluster", "FakeNode", "OnlyLeader"]

Object = dict[str, Any]

DISK = 500 * 2**30
SPEED = 100 * 2**20
"""Bytes on the disk that a node pulls in a second. containerd took 120 s for an image of 5.4 GB in
the registry, with a large SSD (containerd/containerd#8881). Unpacked, it has more than twice
as many."""

_GC_HIGH, _GC_LOW = 0.8, 0.7
_REPORTED = 50
_REPORTS_EVERY = 30.0


class OnlyLeader:
    """There is no other process."""

    is_leader = True
    holder = "only"


class FakeNode:
    """A node with its kubelet.

    Attributes
    ----------
    images : dict of str to float
        When each image that it has was used last.
    prepulled : set of str
        Those that no user has pulled.
    removed : int
        How many images its kubelet has removed.
    """

    def __init__(self, cluster: FakeCluster, name: str) -> None:
        self.name = name
        self.uid = f"{name}-{next(cluster.numbers)}"
        self.created = cluster.now
        self.images: dict[str, float] = {}
        self.prepulled: set[str] = set()
        self.removed = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self._cluster = cluster
        self._turn = asyncio.Lock()
        self._reported: list[str] = []

    async def pull(self, image: str, *, by_user: bool) -> None:
        """Pull an image, after those that were asked for before, unless it is there."""
        if image in self.images:
            self.images[image] = self._cluster.now
            return
        async with self._turn:
            if image not in self.images:
                await self._download(image, by_user=by_user)
                if not by_user:
                    self.prepulled.add(image)
                    self._cluster.check_budget(self)
            self.images[image] = self._cluster.now
            self._collect_garbage()

    async def _download(self, image: str, *, by_user: bool) -> None:
        cluster = self._cluster
        cluster.at_once += not by_user
        cluster.most_at_once = max(cluster.most_at_once, cluster.at_once)
        try:
            await asyncio.sleep(cluster.sizes[image] / cluster.speed)
        finally:
            cluster.at_once -= not by_user

    def _collect_garbage(self) -> None:
        sizes = self._cluster.sizes
        used = sum(sizes[image] for image in self.images)
        if used <= DISK * _GC_HIGH:
            return
        for image in sorted(self.images, key=self.images.__getitem__):
            if used <= DISK * _GC_LOW:
                break
            used -= sizes[image]
            del self.images[image]
            self.prepulled.discard(image)
            self.removed += 1

    def report(self) -> bool:
        """Look at the images. Return whether there is anything new to say."""
        sizes = self._cluster.sizes
        largest = sorted(self.images, key=lambda image: (-sizes[image], image))[:_REPORTED]
        is_new, self._reported = largest != self._reported, largest
        return is_new

    def state(self) -> Object:
        """Return the node as the API server has it."""
        return {
            "metadata": {
                "name": self.name,
                "uid": self.uid,
                "creationTimestamp": _time(self.created),
            },
            "spec": {},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "capacity": {"ephemeral-storage": str(DISK)},
                "images": [
                    {"names": [image], "sizeBytes": self._cluster.sizes[image]}
                    for image in self._reported
                ],
            },
        }


class FakeCluster:
    """Nodes, and the pods on them.

    Parameters
    ----------
    epoch : float
        The time at which the event loop's clock is 0, in seconds since 1970.
    sizes : mapping of str to int
        Bytes of each image on the disk of a node.
    speed : float
        Bytes on the disk that a node pulls in a second.

    Attributes
    ----------
    most_pods : int
        The largest number of pods that pulled at the same time.
    most_at_once : int
        The largest number of images that were pulled in advance at the same time.
    most_used : int
        The largest number of bytes that images took on a node which no user had pulled.
    """

    def __init__(self, epoch: float, sizes: Mapping[str, int], speed: float = SPEED) -> None:
        self.sizes = sizes
        self.speed = speed
        self.nodes_by_name: dict[str, FakeNode] = {}
        self.numbers = itertools.count(1)
        self.most_pods = self.most_at_once = self.most_used = 0
        self.at_once = 0
        self._epoch = epoch
        self._objects: dict[str, dict[str, Object]] = defaultdict(dict)
        self._log: list[tuple[int, str, str, Object]] = []
        self._changed = asyncio.Event()
        self._pulls: dict[str, asyncio.Task[None]] = {}
        self._reports: dict[str, asyncio.Task[None]] = {}

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self._epoch + asyncio.get_running_loop().time()

    def check_budget(self, node: FakeNode) -> None:
        """Note how much was pulled in advance to a node."""
        self.most_used = max(self.most_used, sum(self.sizes[each] for each in node.prepulled))

    # -- nodes and users

    def join(self, name: str) -> FakeNode:
        """Add a node."""
        node = self.nodes_by_name[name] = FakeNode(self, name)
        self._note("nodes", "ADDED", node.state())
        self._reports[name] = asyncio.create_task(self._report(node))
        return node

    def leave(self, name: str) -> None:
        """Remove a node with all that is on it."""
        node = self.nodes_by_name.pop(name)
        self._reports.pop(name).cancel()
        for task in node.tasks:
            task.cancel()
        for pod in list(self._objects["pods"].values()):
            if pod["spec"]["nodeName"] == name:
                if (pull := self._pulls.pop(pod["metadata"]["uid"], None)) is not None:
                    pull.cancel()
                self._note("pods", "DELETED", pod)
        self._note("nodes", "DELETED", node.state())

    async def start_server(self, name: str, node: FakeNode, image: str) -> float:
        """Start a user's server. Return the seconds until its image was there."""
        began = self.now
        pod = {
            "metadata": {"name": name, "uid": name, "labels": {"component": "singleuser-server"}},
            "spec": {"nodeName": node.name, "containers": [{"name": "notebook", "image": image}]},
            "status": {"phase": "Pending"},
        }
        self._note("pods", "ADDED", pod)
        await node.pull(image, by_user=True)
        self._note("pods", "DELETED", pod)
        return self.now - began

    async def close(self) -> None:
        """End everything."""
        for name in list(self.nodes_by_name):
            self.leave(name)

    async def _report(self, node: FakeNode) -> None:
        while True:
            await asyncio.sleep(_REPORTS_EVERY)
            if node.report():
                self._note("nodes", "MODIFIED", node.state())

    # -- requests of the prepuller

    async def nodes(self, selector: str) -> Listing:
        """See `ClusterApi.nodes`."""
        return Listing(list(self._objects["nodes"].values()), str(len(self._log)))

    async def pods(self, selector: str) -> Listing:
        """See `KubeApi.pods`."""
        pods = [pod for pod in self._objects["pods"].values() if _selected(pod, selector)]
        return Listing(pods, str(len(self._log)))

    def watch_nodes(self, selector: str, version: str) -> AsyncGenerator[tuple[str, Object]]:
        """See `ClusterApi.watch_nodes`."""
        return self._watch("nodes", "", version)

    def watch_pods(self, selector: str, version: str) -> AsyncGenerator[tuple[str, Object]]:
        """See `KubeApi.watch_pods`."""
        return self._watch("pods", selector, version)

    async def create(self, pod: Mapping[str, Any]) -> Object:
        """See `KubeApi.create`."""
        name = pod["metadata"]["name"]
        if name in self._objects["pods"]:
            raise KubeError(409, "AlreadyExists")
        uid = f"uid-{next(self.numbers)}"
        metadata = {**pod["metadata"], "uid": uid, "creationTimestamp": _time(self.now)}
        made = {**pod, "metadata": metadata, "status": {"phase": "Pending"}}
        made = self._note("pods", "ADDED", made)
        self._pulls[uid] = asyncio.create_task(self._pull(made))
        self.most_pods = max(self.most_pods, len(self._pulls))
        return made

    async def delete(self, name: str, *, uid: str, grace: int | None = None) -> bool:
        """See `KubeApi.delete`. The kubelet ends the pull at once."""
        pod = self._objects["pods"].get(name)
        if pod is None or pod["metadata"]["uid"] != uid:
            return False
        if (pull := self._pulls.pop(uid, None)) is not None:
            pull.cancel()
        self._note("pods", "DELETED", pod)
        return True

    async def _pull(self, pod: Object) -> None:
        node = self.nodes_by_name[pod["spec"]["nodeName"]]
        await node.pull(pod["spec"]["containers"][0]["image"], by_user=False)
        self._pulls.pop(pod["metadata"]["uid"])
        ended = {"terminated": {"reason": "Completed"}}
        status = {"phase": "Succeeded", "containerStatuses": [{"state": ended}]}
        self._note("pods", "MODIFIED", {**pod, "status": status})

    async def _watch(
        self, kind: str, selector: str, version: str
    ) -> AsyncGenerator[tuple[str, Object]]:
        done = int(version)
        while True:
            changed = self._changed
            for number, its_kind, change, found in self._log[done:]:
                done = number
                if its_kind == kind and _selected(found, selector):
                    yield change, found
            if done == len(self._log):
                await changed.wait()

    def _note(self, kind: str, change: str, found: Object) -> Object:
        number = len(self._log) + 1
        found = {**found, "metadata": {**found["metadata"], "resourceVersion": str(number)}}
        name = found["metadata"]["name"]
        if change == "DELETED":
            self._objects[kind].pop(name, None)
        else:
            self._objects[kind][name] = found
        self._log.append((number, kind, change, found))
        self._changed.set()
        self._changed = asyncio.Event()
        return found


def _selected(found: Object, selector: str) -> bool:
    name, _, value = selector.partition("=")
    return not name or found["metadata"].get("labels", {}).get(name) == value


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
