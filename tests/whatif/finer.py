"""Weeks of launches that are made by another mechanism than the replay, and a finer one.

It is an asyncio program on a virtual clock. Images share a base layer, nodes pull layer by layer at
a speed that varies, kubelets remove images every few minutes, the scheduler weighs nodes as
Kubernetes does, placeholders are pods that are evicted, the autoscaler looks every 10 seconds, the
culler every minute, servers take longer to start where many do, and JupyterHub asks them in growing
intervals whether they answer. The replay knows none of this, only the policy.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from random import Random
from typing import Any, NamedTuple

from binderprogress.core.phases import Phase
from binderprogress.core.timing.spans import PastLaunch, Span
from binderprogress.whatif.demand import Demand, Request
from binderprogress.whatif.policy import Policy

from ..simulation.loop import VirtualLoop

__all__ = ["MONDAY", "week"]

MONDAY = 1_793_577_600.0
"""2026-11-02, in seconds since 1970."""

BASE_GB = 0.8
"""A layer that all images share."""


class Pod(NamedTuple):
    """A user's server, or a placeholder."""

    image: int
    placed: asyncio.Future[FineNode] | None


class FineNode:
    """A node with its kubelet."""

    def __init__(self, world: World, hub: FineHub) -> None:
        self.world, self.hub = world, hub
        self.pods: list[Pod] = []
        self.layers: dict[int, float] = {}
        """When each image was used last. -1 is the shared layer."""
        self.turn = asyncio.Lock()
        self.starting = 0
        self.idle_since = world.now
        self.tasks = [world.spawn(self.collect_garbage())]

    def size(self, image: int) -> float:
        return BASE_GB if image < 0 else max(self.world.demand.images[image].gb - BASE_GB, 0.1)

    async def pull(self, image: int) -> float:
        """Pull what is missing, after other pulls. Return how long that took."""
        began = self.world.now
        if image not in self.layers or -1 not in self.layers:
            async with self.turn:
                for layer in (-1, image):
                    if layer not in self.layers:
                        speed = self.world.policy.nodes.pull_mb_per_second / 1000.0
                        speed *= math.exp(self.world.rand.gauss(0.0, 0.15))
                        await asyncio.sleep(self.size(layer) / speed)
                        self.layers[layer] = self.world.now
        self.layers[image] = self.layers[-1] = self.world.now
        return self.world.now - began

    async def collect_garbage(self) -> None:
        room = self.world.policy.nodes.images_gb
        while True:
            await asyncio.sleep(300.0)
            used = sum(map(self.size, self.layers))
            if used <= room:
                continue
            busy = {pod.image for pod in self.pods}
            for layer in sorted(self.layers, key=self.layers.__getitem__):
                if used <= room * 0.85:
                    break
                if layer >= 0 and layer not in busy and self.world.now - self.layers[layer] > 120:
                    used -= self.size(layer)
                    del self.layers[layer]


class FineHub:
    """A hub with its cluster."""

    def __init__(self, world: World, host: str) -> None:
        self.world, self.policy, self.host = world, world.policy, host
        self.per_node = self.policy.servers_per_node
        self.nodes: list[FineNode] = []
        self.pending: list[Pod] = []
        self.booting = 0
        self.built = {n for n, image in enumerate(world.demand.images) if image.is_built}
        self.builds: dict[int, asyncio.Task[bool]] = {}
        slots = self.policy.builds.slots
        self.slots = asyncio.Semaphore(slots or 1_000_000)
        self.looks = asyncio.Event()
        for _ in range(self.policy.nodes.least):
            self.join()
        self.pending += [Pod(-1, None)] * self.policy.nodes.placeholders
        self.schedule()
        world.spawn(self.autoscale())

    # -- scheduler

    def create(self, image: int) -> Pod:
        pod = Pod(image, self.world.loop.create_future())
        self.pending.append(pod)
        self.schedule()
        return pod

    def schedule(self) -> None:
        """Place pods: users' first, which evict placeholders."""
        for pod in sorted(self.pending, key=lambda pod: pod.placed is None):
            node = self.best(pod)
            if node is None:
                continue
            if len(node.pods) >= self.per_node:
                evicted = next(each for each in node.pods if each.placed is None)
                node.pods.remove(evicted)
                self.pending.append(evicted)
            self.pending.remove(pod)
            node.pods.append(pod)
            if pod.placed is not None:
                pod.placed.set_result(node)
        if self.pending:
            self.looks.set()

    def best(self, pod: Pod) -> FineNode | None:
        def score(node: FineNode) -> float:
            share = len(node.pods) / self.per_node
            fullest = self.policy.nodes.packing == "fullest"
            local = 1.5 * (pod.image in node.layers)  # ImageLocality, with the weight of z2jh
            # Evicting comes last.
            evicts = 10.0 * (len(node.pods) >= self.per_node)
            return (share if fullest else 1.0 - share) + local - evicts

        fitting = [
            node
            for node in self.nodes
            if len(node.pods) < self.per_node
            or (pod.placed is not None and any(each.placed is None for each in node.pods))
        ]
        return max(fitting, key=score, default=None)

    def remove(self, node: FineNode, pod: Pod) -> None:
        node.pods.remove(pod)
        if not any(each.placed for each in node.pods):
            node.idle_since = self.world.now
        self.schedule()

    # -- autoscaler

    def join(self) -> None:
        node = FineNode(self.world, self)
        self.nodes.append(node)
        prepull = self.policy.prepull
        if prepull.images:
            node.tasks.append(self.world.spawn(self.prepull(node, prepull.images)))
        self.schedule()

    async def prepull(self, node: FineNode, most: int) -> None:
        """Pull the most popular images, once, as z2jh's puller does with a list."""
        for image in self.world.popular(most):
            if image in self.built:
                await node.pull(image)

    async def autoscale(self) -> None:
        while True:
            # Nothing to look at is looked at rarely, to save time.
            try:
                await asyncio.wait_for(self.looks.wait(), 60.0)
            except TimeoutError:
                self.scale_down()
                continue
            self.looks.clear()
            await asyncio.sleep(10.0 - self.world.now % 10.0)
            missing = -(-len(self.pending) // self.per_node) - self.booting
            room = self.policy.nodes.most - len(self.nodes) - self.booting
            for _ in range(min(missing, room)):
                self.booting += 1
                self.world.spawn(self.boot())

    async def boot(self) -> None:
        boot = self.policy.nodes.boot_seconds
        await asyncio.sleep(boot * math.exp(self.world.rand.gauss(0.0, 0.08)))
        self.booting -= 1
        self.join()

    def scale_down(self) -> None:
        idle = 60.0 * self.policy.nodes.idle_minutes
        for node in list(self.nodes):
            users = any(pod.placed for pod in node.pods)
            left = [each for each in self.nodes if each is not node]
            free = sum(self.per_node - len(each.pods) for each in left)
            if (
                users
                or len(left) < self.policy.nodes.least
                or self.world.now - node.idle_since < idle
                or free < len(node.pods)
            ):
                continue
            self.nodes.remove(node)
            for task in node.tasks:
                task.cancel()
            self.pending += node.pods
            self.schedule()

    # -- launches

    async def build(self, launch: Launch) -> bool:
        image = launch.request.image
        task = self.builds.get(image)
        joined = task is not None
        if task is None:
            task = self.builds[image] = self.world.spawn(self.make(launch))
        launch.joined = joined
        done = await asyncio.shield(task)
        self.builds.pop(image, None)
        if joined:
            launch.mark(Phase.BUILDING, "building")
        else:
            launch.mark(Phase.PUSHING, "pushing")
        return done

    async def make(self, launch: Launch) -> bool:
        async with self.slots:
            if self.world.now - launch.marked > 0.5:
                launch.mark(Phase.WAITING, "queued")
            seconds = launch.request.build
            for share, phase, step in (
                (0.05, Phase.FETCHING, "cloning"),
                (0.80, Phase.BUILDING, "building"),
            ):
                await asyncio.sleep(seconds * share)
                launch.mark(phase, step)
            await asyncio.sleep(seconds * 0.15)
        if not launch.request.fails:
            self.built.add(launch.request.image)
        return not launch.request.fails

    async def serve(self, launch: Launch) -> None:
        request = launch.request
        pod = self.create(request.image)
        assert pod.placed is not None
        node = await pod.placed
        # Binding, and the kubelet's reaction.
        await asyncio.sleep(self.world.rand.uniform(0.1, 0.6))
        launch.mark(Phase.LAUNCHING, "scheduled")
        pulled = await node.pull(request.image)
        if pulled > 0.05:
            launch.mark(Phase.LAUNCHING, "pulling")
        node.starting += 1
        await asyncio.sleep(request.start * (1.0 + 0.02 * (node.starting - 1)))
        node.starting -= 1
        launch.mark(Phase.LAUNCHING, "starting")
        # JupyterHub asks whether it answers, in growing intervals.
        await asyncio.sleep(self.world.rand.uniform(0.0, 0.6))
        launch.mark(Phase.LAUNCHING, "answering")
        launch.end(Phase.READY)
        leaves = self.world.now + request.stay + 60.0 * self.policy.servers.idle_minutes
        await asyncio.sleep(math.ceil(leaves / 60.0) * 60.0 - self.world.now)
        self.remove(node, pod)


class Launch:
    """A launch and its record."""

    def __init__(self, world: World, request: Request, host: str) -> None:
        self.world, self.request, self.host = world, request, host
        self.began = self.marked = world.now
        self.spans: list[Span] = []
        self.cold = self.joined = False

    def mark(self, phase: Phase, step: str) -> None:
        """Note that a step has ended."""
        start, end = self.marked - self.began, self.world.now - self.began
        if end > start:
            self.spans.append(Span(phase, round(start, 3), round(end, 3), step=step))
        self.marked = self.world.now

    def end(self, outcome: Phase, reason: str = "") -> None:
        image = self.world.demand.images[self.request.image]
        self.world.past.append(
            PastLaunch(
                began=MONDAY + self.began,
                provider="gh",
                repository=f"https://github.com/{self.world.demand.repositories[image.repository]}",
                ref="HEAD",
                host=self.host,
                commit=f"{self.request.image:040x}",
                image=f"registry.example.org/{self.request.image}",
                outcome=outcome,
                reason=reason,
                cold=self.cold,
                joined=self.joined,
                spans=self.spans,
            )
        )


class World:
    """Everything."""

    def __init__(self, demand: Demand, policy: Policy, seed: int) -> None:
        self.demand, self.policy = demand, policy
        self.rand = Random(f"finer {seed}")
        self.loop = asyncio.get_running_loop()
        self.past: list[PastLaunch] = []
        self.tasks: set[asyncio.Task[Any]] = set()
        self.counts: Counter[int] = Counter()
        self.newest: dict[int, int] = {}
        self.hubs = [FineHub(self, f"hub-{n}.example.org") for n in range(policy.hubs.count)]

    @property
    def now(self) -> float:
        return self.loop.time()

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def popular(self, most: int) -> list[int]:
        """The newest images of the repositories that were launched most."""
        return [self.newest[repository] for repository, _ in self.counts.most_common(most)]

    def hub(self, repository: int) -> FineHub:
        # Some fixed choice. The replay has another one where it does not know this one.
        return self.hubs[(repository * 7 + 3) % len(self.hubs)]

    async def launch(self, request: Request) -> None:
        repository = self.demand.images[request.image].repository
        hub = self.hub(repository)
        launch = Launch(self, request, hub.host)
        await asyncio.sleep(request.check)
        launch.mark(Phase.WAITING, "resolving")
        if request.image not in hub.built:
            launch.cold = True
            if not await hub.build(launch):
                launch.end(Phase.FAILED, "build-failed")
                return
        self.counts[repository] += 1
        self.newest[repository] = request.image
        await hub.serve(launch)

    async def run(self) -> list[PastLaunch]:
        for request in self.demand.requests:
            await asyncio.sleep(request.time - self.now)
            self.spawn(self.launch(request))
        await asyncio.sleep(self.demand.seconds - self.now + 4 * 3600.0)
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        return self.past


def week(demand: Demand, policy: Policy, *, seed: int) -> list[PastLaunch]:
    """Return what a history would have of a week."""

    async def run() -> list[PastLaunch]:
        return await World(demand, policy, seed).run()

    loop = VirtualLoop(Random(seed), limit=math.inf)
    past = loop.run(run())
    if loop.problems:
        raise AssertionError(loop.problems[0])
    return past
