"""A hub in a simulation: its builds, its standing servers, and what its nodes pull ahead."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator
from typing import Any

from simpy import Environment, Event, Resource

from .cluster import Cluster, Node
from .demand import Demand, Request
from .policy import Policy
from .popularity import Popularity, divided

__all__ = ["Hub", "Standing"]

_RANKS_EVERY = 3600.0
"""How often standing servers follow what is popular, in seconds."""

_PULLS_EVERY = 300.0
"""How often nodes that have all popular images look for new ones, in seconds; and how long a
ranking of images is used."""


class Standing:
    """A server that was started ahead.

    Attributes
    ----------
    node : Node
    image : int
    """

    __slots__ = ("image", "node")

    def __init__(self, node: Node, image: int) -> None:
        self.node = node
        self.image = image


class Hub:
    """A hub.

    Parameters
    ----------
    env : simpy.Environment
    policy : Policy
    demand : Demand
    built : set of int
        The images in its registry. Hubs may share it.
    start_seconds : float
        How long a standing server takes to start.

    Attributes
    ----------
    cluster : Cluster
    builds : int
        How many were begun.
    running : Counter
        Users' servers by repository.
    """

    def __init__(
        self,
        env: Environment,
        policy: Policy,
        demand: Demand,
        *,
        built: set[int],
        start_seconds: float,
    ) -> None:
        self._env = env
        self._policy = policy
        self._demand = demand
        self._start_seconds = start_seconds
        self.built = built
        self.builds = 0
        self.running: Counter[int] = Counter()
        self._building: dict[int, Event] = {}
        slots = policy.builds.slots
        self._slots = Resource(env, slots) if slots else None
        self._popularity = Popularity(demand.scores, _newest(demand))
        self._pulls = Resource(env, policy.prepull.at_once)
        self._popular: list[int] = []
        self._ranked = -_PULLS_EVERY
        self._targets: dict[int, int] = {}
        self._standing: dict[int, deque[Standing]] = {}
        self._starting: Counter[int] = Counter()
        names = set(policy.standby.names)
        self._named = [n for n, name in enumerate(demand.repositories) if name in names]
        self.cluster = Cluster(env, policy, demand, on_join=self._joined)
        # They were there before, so they have what is popular.
        popular = [image for image, _ in self._popularity.ranking(len(demand.images))]
        for node in self.cluster.nodes:
            node.stock(popular, policy.nodes.images_gb, shared=demand.shared_gb)
        if policy.standby.servers:
            env.process(self._follow())

    # -- builds

    def build(self, request: Request) -> Generator[Event, Any, bool]:
        """Build the image of a launch, or join its build. Return whether it succeeded."""
        image = request.image
        if (building := self._building.get(image)) is not None:
            return bool((yield building))
        done = self._building[image] = self._env.event()
        self.builds += 1
        if self._slots is None:
            yield self._env.timeout(request.build)
        else:
            with self._slots.request() as turn:
                yield turn
                yield self._env.timeout(request.build)
        del self._building[image]
        if not request.fails:
            self.built.add(image)
        done.succeed(not request.fails)
        return not request.fails

    # -- servers

    def refuses(self, repository: int) -> bool:
        """Whether a quota allows no further server."""
        quota = self._policy.quota
        return (0 < quota.repository <= self.running[repository]) or (
            0 < quota.servers <= self.running.total()
        )

    def launched(self, repository: int, image: int) -> None:
        """Count a launch, for what is popular."""
        is_new = self._popularity.launched(repository, image, self._env.now)
        if is_new and self._policy.standby.servers:
            self._aim()

    def begin(self, repository: int) -> None:
        """Count a server."""
        self.running[repository] += 1

    def end(self, repository: int, node: Node, image: int) -> None:
        """End a user's server."""
        self.running[repository] -= 1
        self.cluster.end(node, image)
        if self.cluster.wanted:
            self._fill()

    # -- standing servers

    def take(self, image: int) -> Standing | None:
        """Take a standing server of an image, if there is one, and start another."""
        ready = self._standing.get(image)
        if not ready:
            return None
        standing = ready.popleft()
        self._fill()
        return standing

    def _follow(self) -> Generator[Event, Any, None]:
        while True:
            self._aim()
            yield self._env.timeout(_RANKS_EVERY)

    def _aim(self) -> None:
        """Decide how many servers should stand ready for which images."""
        standby = self._policy.standby
        among = (
            self._popularity.images_of(self._named)
            if standby.names
            else self._popularity.ranking(standby.repositories)
        )
        built = [each for each in among if each[0] in self.built]
        self._targets = divided(standby.servers, built)
        for image, ready in self._standing.items():
            while len(ready) > self._targets.get(image, 0):
                self._drop(ready.popleft())
        self._fill()

    def _fill(self) -> None:
        """Start servers where some lack. People who wait for a place come first."""
        lacking = 0
        has_room = not self.cluster.waiting
        for image, count in self._targets.items():
            lack = count - len(self._standing.get(image, ())) - self._starting[image]
            while lack > 0 and has_room:
                node = self.cluster.place(image)
                if node is None:
                    has_room = False
                    break
                lack -= 1
                self._starting[image] += 1
                self._env.process(self._start(node, image))
            lacking += max(lack, 0)
        self.cluster.wanted = lacking
        if lacking:
            self.cluster.grow()

    def _start(self, node: Node, image: int) -> Generator[Event, Any, None]:
        there = self.cluster.pull(node, image)
        yield self._env.timeout(there - self._env.now + self._start_seconds)
        self._starting[image] -= 1
        standing = Standing(node, image)
        ready = self._standing.setdefault(image, deque())
        if len(ready) >= self._targets.get(image, 0):
            self._drop(standing)
            return
        ready.append(standing)
        age = self._env.timeout(60.0 * self._policy.standby.max_age_minutes)
        age.callbacks.append(lambda _: self._expire(standing))

    def _expire(self, standing: Standing) -> None:
        """Replace a standing server that is too old, unless it was taken."""
        ready = self._standing[standing.image]
        if standing in ready:
            ready.remove(standing)
            self._drop(standing)
            self._fill()

    def _drop(self, standing: Standing) -> None:
        self.cluster.end(standing.node, standing.image)

    # -- images

    def _joined(self, node: Node) -> None:
        if self._policy.prepull.images:
            self._env.process(self._prepull(node))
        if self._targets:
            self._fill()

    def _prepull(self, node: Node) -> Generator[Event, Any, None]:
        """Pull popular images to a node, one after the other."""
        always = self._policy.prepull.when == "always"
        while not node.is_gone:
            image = self._missing(node)
            if image is not None:
                with self._pulls.request() as turn:
                    yield turn
                    there = self.cluster.pull(node, image)
                    yield self._env.timeout(max(there - self._env.now, 0.0))
            elif always:
                yield self._env.timeout(_PULLS_EVERY)
            else:
                return

    def _missing(self, node: Node) -> int | None:
        prepull = self._policy.prepull
        room = min(prepull.images_gb, self._policy.nodes.images_gb)
        if self._env.now - self._ranked >= _PULLS_EVERY:
            self._ranked = self._env.now
            self._popular = [image for image, _ in self._popularity.ranking(prepull.images)]
        for image in self._popular:
            size = self._demand.images[image].gb
            if image not in self.built or size > room:
                continue
            room -= size
            if image not in node.images:
                return image
        return None


def _newest(demand: Demand) -> list[int]:
    """Return the image of each repository at the beginning; -1 if none is built."""
    newest = [-1] * len(demand.repositories)
    for number, image in enumerate(demand.images):
        if image.is_built and newest[image.repository] < 0:
            newest[image.repository] = number
    return newest
