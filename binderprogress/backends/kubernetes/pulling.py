"""Pulls images to nodes in advance: follows the cluster, and creates and deletes pods."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from ...core.kubernetes.backoff import Backoff
from ...core.kubernetes.node_images import NodeImages
from ...core.kubernetes.nodes import NodeState, read_node
from ...core.kubernetes.prepull import Limits, Node, Plan, Planner, Pull, RankedImage
from ...core.kubernetes.prepull_report import PrepullReport, PrepullTotals, make_report
from ...core.kubernetes.pull_pods import COMPONENT, PullPod, is_pulling, pull_manifest, read_pull
from .api import CUT, KubeError, Listing
from .mirror import Mirror

__all__ = ["Leadership", "NodeApi", "PodApi", "PullSettings", "Pulling"]

# Seconds for which changes are collected before the next plan.
_PAUSE = 1.0
# Seconds after which the plan is made anew even if nothing has changed.
_EVERY = 30.0
_TIMEOUT = 15.0
# Seconds after which a pod that is being deleted is deleted by force if its node is lost.
_FORCED_AFTER = 60.0

_Changes = AsyncGenerator[tuple[str, dict[str, Any]]]


class PodApi(Protocol):
    """The requests for pods of a namespace; see `KubeApi`."""

    async def pods(self, selector: str) -> Listing:
        """List the pods with these labels."""
        ...

    def watch_pods(self, selector: str, version: str) -> _Changes:
        """Watch the pods with these labels."""
        ...

    async def create(self, pod: Mapping[str, Any]) -> dict[str, Any]:
        """Create a pod."""
        ...

    async def delete(self, name: str, *, uid: str, grace: int | None = None) -> bool:
        """Delete a pod."""
        ...


class NodeApi(PodApi, Protocol):
    """… and for nodes; see `ClusterApi`."""

    async def nodes(self, selector: str) -> Listing:
        """List the nodes with these labels."""
        ...

    def watch_nodes(self, selector: str, version: str) -> _Changes:
        """Watch the nodes with these labels."""
        ...


class Leadership(Protocol):
    """Whether this process may act; see `Leader`."""

    @property
    def is_leader(self) -> bool:
        """Whether it may act now."""
        ...

    @property
    def holder(self) -> str:
        """The process that may."""
        ...


class PullSettings(msgspec.Struct, frozen=True, kw_only=True):
    """See `Prepuller` for each."""

    limits: Limits
    node_selector: str = ""
    user_selector: str = ""
    pull_timeout: float = 1800.0
    unknown_size: int
    unpacked_factor: float = 1.0
    tolerations: Sequence[Mapping[str, Any]] = ()
    secrets: Sequence[str] = ()


class Pulling:
    """Pulls the best images to all nodes.

    The number of pulls is limited by the names of their pods, which are numbered. So the API server
    keeps to it, too, if two processes take themselves for the leader.

    Parameters
    ----------
    api : NodeApi
        Of the namespace in which images are pulled.
    users : PodApi
        Of the namespace of the users' servers.
    settings : PullSettings
    leadership : Leadership
    clock : callable
        Returns the seconds since 1970.
    log : logging.Logger
    """

    def __init__(
        self,
        api: NodeApi,
        users: PodApi,
        settings: PullSettings,
        leadership: Leadership,
        *,
        clock: Callable[[], float] = time.time,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.leadership = leadership
        self._api = api
        self._settings = settings
        self._clock = clock
        self._log = log
        self._changed = asyncio.Event()
        changed = self._changed.set
        selector = f"component={COMPONENT}"
        self._nodes = Mirror(
            api.nodes, api.watch_nodes, settings.node_selector, changed=changed, log=log
        )
        self._pods = Mirror(api.pods, api.watch_pods, selector, changed=changed, log=log)
        self._users = Mirror(
            users.pods, users.watch_pods, settings.user_selector, changed=changed, log=log
        )
        self._ranking: Sequence[RankedImage] = ()
        self._images = NodeImages()
        self._image_failures, self._node_failures = Backoff(), Backoff()
        # Nodes as they were read, by name. Most do not change between two plans.
        self._states: dict[str, tuple[dict[str, Any], NodeState]] = {}
        # The pods whose end was counted.
        self._counted: set[str] = set()
        # What users' pods wait for, by node.
        self._awaited: dict[str, set[str]] = {}
        self._totals = PrepullTotals()
        self._planner = Planner(settings.limits)
        self._plan = Plan(pulls=(), nodes=())
        self._planned = asyncio.Event()

    def rank(self, ranking: Sequence[RankedImage]) -> None:
        """Set the images that are worth pulling. A size of 0 is not known."""
        self._ranking = ranking
        names = {image.name for image in ranking}
        self._images.keep_sizes(names)
        self._image_failures.keep(names)
        self.wake()

    def wake(self) -> None:
        """Plan anew soon."""
        self._changed.set()

    async def look(self) -> PrepullReport:
        """Look at the cluster, and change nothing.

        Raises
        ------
        KubeError, aiohttp.ClientError, TimeoutError
            If something cannot be listed.
        """
        for mirror in (self._nodes, self._pods, self._users):
            await mirror.refresh()
        nodes = self._read_nodes()
        self._make_plan(nodes, self._read_pods(nodes))
        return self.report()

    async def run(self, until: Callable[[PrepullReport], bool] | None = None) -> None:
        """Pull images for ever, or until a condition holds after a plan."""
        mirrors = (self._nodes, self._pods, self._users)
        async with asyncio.TaskGroup() as group:
            watching = [group.create_task(mirror.run()) for mirror in mirrors]
            for mirror in mirrors:
                await mirror.listed.wait()
            while True:
                self._changed.clear()
                await self._step()
                self._planned.set()
                self._planned = asyncio.Event()
                if until is not None and until(self.report()):
                    break
                with suppress(TimeoutError):
                    async with asyncio.timeout(_EVERY):
                        await self._changed.wait()
                await asyncio.sleep(_PAUSE)
            for task in watching:
                task.cancel()

    async def next_plan(self) -> None:
        """Wait until the next plan was made, and its pulls were started."""
        await self._planned.wait()

    def report(self) -> PrepullReport:
        """Return what is known as of the last plan."""
        return make_report(
            self._plan,
            self._sized(),
            self._image_failures.failures,
            leader=self.leadership.holder,
            is_leader=self.leadership.is_leader,
            budget=self._settings.limits.budget,
            running=len(self._pods.objects),
            max_pulls=self._settings.limits.max_pulls,
            totals=self._totals,
        )

    # -- one step

    async def _step(self) -> None:
        try:
            nodes = self._read_nodes()
            pods = self._read_pods(nodes)
            ended = {pod.uid: reason for pod in pods if (reason := self._reason(pod, nodes))}
            for pod in pods:
                if pod.uid in ended and self.leadership.is_leader:
                    await self._remove(pod, nodes, ended[pod.uid])
            self._make_plan(nodes, pods)
            for pull in self._plan.pulls:
                if self.leadership.is_leader:
                    await self._start(pull)
        except CUT as error:
            self._log.warning("Kubernetes does not answer: %s", error or "no answer in time")
        except KubeError as error:
            self._log.warning("Kubernetes refuses to pull images in advance: %s", error)

    def _read_nodes(self) -> dict[str, NodeState]:
        before, self._states = self._states, {}
        settings = self._settings
        for name, found in self._nodes.objects.items():
            known = before.get(name)
            if known is None or known[0] is not found:
                state = read_node(
                    found, settings.tolerations, unpacked_factor=settings.unpacked_factor
                )
                known = (found, state)
            self._states[name] = known
        nodes = [state for _, state in self._states.values()]
        self._images.update(nodes, self._clock())
        self._awaited.clear()
        for pod in self._users.objects.values():
            node, images = is_pulling(pod)
            self._awaited.setdefault(node, set()).update(images)
        return {node.name: node for node in nodes}

    def _read_pods(self, nodes: Mapping[str, NodeState]) -> list[PullPod]:
        now = self._clock()
        pods = [read_pull(pod) for pod in self._pods.objects.values()]
        self._counted &= {pod.uid for pod in pods}
        for pod in pods:
            # Also if the pull was given up: the kubelet may have finished it.
            if (node := nodes.get(pod.node)) is not None:
                self._images.attempted(node.uid, pod.image)
                if pod.outcome == "pulled":
                    self._images.pulled(node.uid, pod.image, pod.size, now)
        return pods

    def _sized(self) -> list[RankedImage]:
        """Return the ranking with sizes: what nodes report is better than any estimate."""
        reported, unknown = self._images.sizes(), self._settings.unknown_size
        return [
            RankedImage(
                name=image.name,
                score=image.score,
                size=reported.get(image.name) or image.size or unknown,
            )
            for image in self._ranking
        ]

    def _make_plan(self, nodes: Mapping[str, NodeState], pods: Sequence[PullPod]) -> None:
        now = self._clock()
        pulling = {
            pod.node: Pull(node=pod.node, image=pod.image, size=pod.size)
            for pod in pods
            # What was pulled counts as such.
            if pod.uid not in self._counted or pod.outcome == "pulling"
        }
        known = [
            Node(
                name=name,
                created=node.created,
                obstacle=self._obstacle(node, now),
                disk=node.disk,
                occupied=self._images.occupied(node.uid),
                held=self._images.held(node.uid),
                ours=frozenset(self._images.ours(node.uid)),
                pulling=pulling.get(name),
            )
            for name, node in nodes.items()
        ]
        self._plan = self._planner.plan(
            known,
            self._sized(),
            running=len(self._pods.objects),
            failed=self._image_failures.waiting(now),
        )

    def _obstacle(self, node: NodeState, now: float) -> str:
        if node.obstacle:
            return node.obstacle
        if self._is_needed(node):
            return "user-pull"
        if node.name in self._node_failures.waiting(now):
            return "failed-lately"
        return ""

    def _is_needed(self, node: NodeState) -> bool:
        """Whether a user waits for an image that the node does not have."""
        awaited = self._awaited.get(node.name, set())
        return bool(awaited and awaited - self._images.held(node.uid).keys())

    def _reason(self, pod: PullPod, nodes: Mapping[str, NodeState]) -> str:
        """Return why a pod is to be deleted; empty if it is not. Count how it ended."""
        now = self._clock()
        node = nodes.get(pod.node)
        if pod.uid in self._counted:
            return "it was counted"
        reason = ""
        if pod.outcome == "pulled":
            reason = "the image is there"
            self._log.info("%s was pulled to %s", pod.image, pod.node)
            self._totals.pulled += 1
            self._totals.pulled_bytes += pod.size
            self._image_failures.succeeded(pod.image)
            self._node_failures.succeeded(pod.node)
        elif pod.outcome == "failed" or now - pod.created > self._settings.pull_timeout:
            reason = pod.message or f"no image after {self._settings.pull_timeout:g} s"
            self._totals.failed += 1
            self._image_failures.failed(pod.image, reason, now)
            self._node_failures.failed(pod.node, reason, now)
            self._log.warning("%s cannot be pulled to %s: %s", pod.image, pod.node, reason)
        elif node is None or node.obstacle or self._is_needed(node):
            reason = "the node is gone" if node is None else node.obstacle or "a user waits"
            self._totals.given_up += 1
            self._log.info("%s is not pulled to %s any more: %s", pod.image, pod.node, reason)
        if reason:
            self._counted.add(pod.uid)
        return reason

    async def _remove(self, pod: PullPod, nodes: Mapping[str, NodeState], reason: str) -> None:
        node = nodes.get(pod.node)
        is_lost = node is None or node.obstacle == "not-ready"
        if pod.deleted and not (is_lost and self._clock() - pod.deleted > _FORCED_AFTER):
            return
        self._log.debug("Deleting %s: %s", pod.name, reason)
        # Otherwise its name stays in use until the kubelet says that it has stopped.
        grace = 0 if is_lost and (node is None or pod.deleted) else None
        async with asyncio.timeout(_TIMEOUT):
            await self._api.delete(pod.name, uid=pod.uid, grace=grace)

    async def _start(self, pull: Pull) -> None:
        names = (f"{COMPONENT}-{number}" for number in range(self._settings.limits.max_pulls))
        name = next((name for name in names if name not in self._pods.objects), "")
        if not name:
            return
        pod = pull_manifest(
            name=name,
            node=pull.node,
            image=pull.image,
            size=pull.size,
            tolerations=self._settings.tolerations,
            secrets=self._settings.secrets,
        )
        try:
            async with asyncio.timeout(_TIMEOUT):
                self._pods.put(await self._api.create(pod))
        except KubeError as error:
            if error.status != 409:
                self._node_failures.failed(pull.node, str(error), self._clock())
                raise
            # Another process has just used the name. The watch will say so.
            self._log.debug("%s exists: %s", name, error)
