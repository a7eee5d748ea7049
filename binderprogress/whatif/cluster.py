"""The nodes of a hub: places for servers, images, and an autoscaler."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any

from simpy import Environment, Event

from .demand import Demand, Image
from .policy import Policy

__all__ = ["Cluster", "Node"]

_SCANS_EVERY = 10.0
"""How often the autoscaler looks for servers without room, in seconds: its default."""

_SHRINKS_EVERY = 60.0
"""How often it is simulated that it looks for nodes that it can remove."""

_CLEANED = 7 / 8
"""Up to which share of their room images are removed."""


class Node:
    """A node.

    Attributes
    ----------
    used, held : int
        Places that servers and placeholders take.
    joined : float
        When it was ready.
    empty_since : float
        When its last server ended.
    images : dict of int to float
        When each image that it has, or pulls, is there. Those used last come last.
    gb : float
        Size of these images, with what they share.
    pulls_until : float
        When the last pull that was requested ends.
    is_gone : bool
    """

    __slots__ = (
        "_running",
        "_sizes",
        "empty_since",
        "gb",
        "held",
        "images",
        "is_gone",
        "joined",
        "pulls_until",
        "used",
    )

    def __init__(self, sizes: list[Image], now: float) -> None:
        self._sizes = sizes
        self._running: dict[int, int] = {}
        self.used = self.held = 0
        self.joined = self.empty_since = now
        self.images: dict[int, float] = {}
        self.gb = 0.0
        self.pulls_until = 0.0
        self.is_gone = False

    def pull(
        self, image: int, now: float, speed: float, room: float, *, shared: float = 0.0
    ) -> float:
        """Pull an image unless it is there. Return the time when it is.

        Parameters
        ----------
        image : int
        now : float
        shared : float
            Size of what all images share, in GB.
        speed : float
            In GB a second.
        room : float
            For all images, in GB.
        """
        there = self.images.pop(image, None)
        if there is None:
            # A kubelet pulls one image after the other.
            size = self._sizes[image].gb
            if size and not self.gb:
                size += shared
            there = max(now, self.pulls_until) + size / speed if size else now
            self.pulls_until = max(there, self.pulls_until)
            self.gb += size
            if self.gb > room:
                self._clean_up(room * _CLEANED, now)
        self.images[image] = there
        return max(there, now)

    def stock(self, images: Iterable[int], room: float, *, shared: float = 0.0) -> None:
        """Have images from the beginning, the most popular ones first, as long as there is room."""
        fitting = []
        self.gb = shared
        for image in images:
            self.gb += self._sizes[image].gb
            if self.gb > room * _CLEANED:
                self.gb -= self._sizes[image].gb
                break
            fitting.append(image)
        self.images = dict.fromkeys(reversed(fitting), 0.0)
        if not fitting:
            self.gb = 0.0

    def _clean_up(self, room: float, now: float) -> None:
        unused = [each for each, there in self.images.items() if there <= now]
        for each in unused:
            if self.gb <= room:
                return
            if not self._running.get(each):
                del self.images[each]
                self.gb -= self._sizes[each].gb

    def begin(self, image: int) -> None:
        """Take a place for a server."""
        self.used += 1
        self._running[image] = self._running.get(image, 0) + 1

    def end(self, image: int, now: float) -> None:
        """Free the place of a server."""
        self.used -= 1
        self._running[image] -= 1
        if not self.used:
            self.empty_since = now


class Cluster:
    """The nodes of a hub.

    Parameters
    ----------
    env : simpy.Environment
    policy : Policy
    demand : Demand
    on_join : callable
        Called with each node that joins.

    Attributes
    ----------
    nodes : list of Node
    waiting : deque
        Launches without a place: an event that succeeds with a node, and the image.
    node_seconds : float
        Of nodes that are gone. A node costs from the decision to add it.
    most_nodes : int
        The largest number of nodes at the same time.
    wanted : int
        Places that standing servers lack.
    """

    def __init__(
        self,
        env: Environment,
        policy: Policy,
        demand: Demand,
        *,
        on_join: Callable[[Node], None],
    ) -> None:
        self._env = env
        self._policy = policy.nodes
        self._images = images = demand.images
        self._shared_gb = demand.shared_gb
        self._until = demand.seconds
        """What nodes cost after this time does not count."""
        self._on_join = on_join
        self._per_node = policy.servers_per_node
        self._is_fullest = policy.nodes.packing == "fullest"
        self._speed = policy.nodes.pull_mb_per_second / 1000.0
        self._booting = 0
        self._is_scanning = False
        self._pending = policy.nodes.placeholders
        """Placeholders without a place."""
        self.nodes: list[Node] = []
        self.waiting: deque[tuple[Event, int]] = deque()
        self.node_seconds = 0.0
        self.most_nodes = 0
        self.used = 0
        self.wanted = 0
        for _ in range(policy.nodes.least):
            self._join(Node(images, env.now))
        env.process(self._shrink())
        self.grow()

    # -- servers

    def place(self, image: int) -> Node | None:
        """Take a place for a server, if any node has one."""
        if self.used >= len(self.nodes) * self._per_node:
            return None
        node = self._best(image)
        if node is None:
            # A placeholder makes room, and waits for another place.
            node = self._best(image, evicting=True)
            if node is None:
                return None
            node.held -= 1
            self._pending += 1
        node.begin(image)
        self.used += 1
        return node

    def _best(self, image: int, *, evicting: bool = False) -> Node | None:
        """Return the node to which a server goes; image -1: a placeholder."""
        best, highest = None, (False, -1)
        for node in self.nodes:
            taken = node.used if evicting else node.used + node.held
            if taken >= self._per_node:
                continue
            has = self._policy.prefer_image and image in node.images
            rank = (has, taken if self._is_fullest else self._per_node - taken)
            if rank > highest:
                best, highest = node, rank
        return best

    def _hold(self) -> None:
        """Give placeholders places."""
        while self._pending and (node := self._best(-1)) is not None:
            node.held += 1
            self._pending -= 1

    def wait(self, image: int) -> Event:
        """Return an event that succeeds with a node, when it has a place."""
        event = self._env.event()
        self.waiting.append((event, image))
        self.grow()
        return event

    def leave(self, event: Event) -> None:
        """Stop waiting."""
        self.waiting = deque(each for each in self.waiting if each[0] is not event)

    def pull(self, node: Node, image: int) -> float:
        """Have a node pull an image. Return the time when it is there."""
        room, shared = self._policy.images_gb, self._shared_gb
        return node.pull(image, self._env.now, self._speed, room, shared=shared)

    def end(self, node: Node, image: int) -> None:
        """End a server. Its place goes to whoever waits longest."""
        node.end(image, self._env.now)
        self.used -= 1
        self._admit()

    def _admit(self) -> None:
        while self.waiting and (node := self.place(self.waiting[0][1])) is not None:
            self.waiting.popleft()[0].succeed(node)
        if not self.waiting:
            self._hold()

    # -- nodes

    def grow(self) -> None:
        """Have nodes added if servers, those that wait, or placeholders have no room."""
        if not self._is_scanning and self._lacking() > 0:
            self._is_scanning = True
            self._env.process(self._scan())

    def _lacking(self) -> int:
        """Return how many nodes should be added."""
        places = self.used + len(self.waiting) + self.wanted + self._policy.placeholders
        needed = min(-(-places // self._per_node), self._policy.most)
        return needed - len(self.nodes) - self._booting

    def _scan(self) -> Generator[Event, Any, None]:
        yield self._env.timeout(_SCANS_EVERY - self._env.now % _SCANS_EVERY)
        self._is_scanning = False
        for _ in range(self._lacking()):
            self._booting += 1
            self._env.process(self._boot())

    def _boot(self) -> Generator[Event, Any, None]:
        began = self._env.now
        yield self._env.timeout(self._policy.boot_seconds)
        self._booting -= 1
        self.node_seconds += max(min(self._env.now, self._until) - began, 0.0)
        self._join(Node(self._images, self._env.now))

    def _join(self, node: Node) -> None:
        self.nodes.append(node)
        self.most_nodes = max(self.most_nodes, len(self.nodes))
        self._admit()
        self._on_join(node)

    def _shrink(self) -> Generator[Event, Any, None]:
        """Remove nodes that have been empty for long, unless placeholders need them."""
        while True:
            yield self._env.timeout(_SHRINKS_EVERY)
            if len(self.nodes) <= self._policy.least:
                continue
            now, idle = self._env.now, 60.0 * self._policy.idle_minutes
            for node in [each for each in self.nodes if not each.used]:
                places = self.used + self.wanted + self._policy.placeholders
                left = len(self.nodes) - 1
                if left < self._policy.least or places > left * self._per_node:
                    break
                if now - node.empty_since >= idle:
                    self.nodes.remove(node)
                    node.is_gone = True
                    self._pending += node.held
                    self._hold()
                    self.node_seconds += self._seconds(node)

    def total_node_seconds(self) -> float:
        """Return how long there were nodes, all together."""
        return self.node_seconds + sum(map(self._seconds, self.nodes))

    def _seconds(self, node: Node) -> float:
        return max(min(self._env.now, self._until) - node.joined, 0.0)
