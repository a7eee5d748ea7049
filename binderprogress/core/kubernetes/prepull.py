"""Plans which image is to be pulled to which node in advance.

An image is worth what it saves: the score of `RankedImage` for each byte on the disk. Every node
gets the images that are worth most and fit its budget. New nodes get theirs first.

Kubernetes cannot remove an image from a node. So a part of the budget is not filled with the images
that are worth least: it is for those that become popular later, such as those of new commits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from typing import Literal

import msgspec

__all__ = ["Limits", "Node", "NodePlan", "Plan", "Planner", "Pull", "RankedImage", "make_plan"]

Lack = Literal["budget", "disk", "failed"]
"""Why an image is not pulled to a node: the budget or the disk has no room, or pulling failed."""


class RankedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image, and what it is worth.

    Attributes
    ----------
    name : str
        Its normal name, see `nodes.normal_name`.
    score : float
        The time that users would save if it were everywhere, in any unit.
    size : int
        Bytes on the disk of a node. A plan needs it; 0 elsewhere if it is not known.
    """

    name: str
    score: float
    size: int


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan keeps to.

    Attributes
    ----------
    budget : int
        Bytes on each node for the images that are pulled in advance.
    reserve : int
        Bytes of the budget that are only used for images that become popular later.
    max_pulls : int
        Maximum number of pulls at the same time, on all nodes together.
    most_of_disk : float
        The share of a node's disk that all of its images may take.
    """

    budget: int
    reserve: int = 0
    max_pulls: int
    most_of_disk: float = 1.0


class Pull(msgspec.Struct, frozen=True, kw_only=True):
    """An image that is pulled to a node, or is to be. `size` is in bytes."""

    node: str
    image: str
    size: int


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node, and what is known of its images.

    Attributes
    ----------
    name : str
    created : float
        In seconds since 1970.
    obstacle : str
        Why nothing may be pulled there now; empty if it may.
    disk : int
        Size of its disk in bytes; 0 if it is not known.
    occupied : int
        Bytes that all images on it take.
    held : mapping of str to int
        Sizes of the images on it, by each of their normal names.
    ours : set of str
        Those of them that were pulled in advance.
    pulling : Pull or None
        What is being pulled in advance.
    """

    name: str
    created: float = 0.0
    obstacle: str = ""
    disk: int = 0
    occupied: int = 0
    held: Mapping[str, int] = {}
    ours: Set[str] = frozenset()
    pulling: Pull | None = None


class NodePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a node has and lacks.

    Attributes
    ----------
    node : Node
    used : int
        Bytes of the budget that are in use, with what is being pulled.
    present : list of str
        The images of the ranking that it has.
    missing : list of str
        Those that are to be pulled, the next one first.
    lacks : mapping of str to str
        Those that are not, and why.
    """

    node: Node
    used: int
    present: Sequence[str]
    missing: Sequence[str]
    lacks: Mapping[str, Lack]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to pull now, and the state of all nodes, in the order in which they are served."""

    pulls: Sequence[Pull]
    nodes: Sequence[NodePlan]


class Planner:
    """Makes plans one after the other. Nodes that have not changed are not planned anew.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._ranking: list[RankedImage] = []
        self._best: list[RankedImage] = []
        self._sizes: dict[str, int] = {}
        self._failed: Set[str] = frozenset()
        self._plans: dict[str, NodePlan] = {}

    def plan(
        self,
        nodes: Collection[Node],
        ranking: Collection[RankedImage],
        *,
        running: int,
        failed: Set[str] = frozenset(),
    ) -> Plan:
        """Plan what to pull now; see `make_plan`."""
        images = list(ranking)
        if (images, failed) != (self._ranking, self._failed):
            self._ranking, self._failed, self._plans = images, failed, {}
            self._best = sorted(images, key=lambda image: (-image.score / image.size, image.name))
            self._sizes = {image.name: image.size for image in images}
        newest = sorted(nodes, key=lambda node: (-node.created, node.name))
        plans = [self._plan_node(node) for node in newest]
        self._plans = {plan.node.name: plan for plan in plans}
        pulls = [
            Pull(node=plan.node.name, image=plan.missing[0], size=self._sizes[plan.missing[0]])
            for plan in plans
            if plan.missing and not plan.node.obstacle and plan.node.pulling is None
        ]
        return Plan(pulls=pulls[: max(self._limits.max_pulls - running, 0)], nodes=plans)

    def _plan_node(self, node: Node) -> NodePlan:
        known = self._plans.get(node.name)
        if known is not None and known.node == node:
            return known
        return _plan_node(node, self._best, self._limits, self._failed)


def make_plan(
    nodes: Collection[Node],
    ranking: Collection[RankedImage],
    limits: Limits,
    *,
    running: int,
    failed: Set[str] = frozenset(),
) -> Plan:
    """Plan what to pull now.

    Parameters
    ----------
    nodes : collection of Node
    ranking : collection of RankedImage
        In any order.
    limits : Limits
    running : int
        Number of pulls that have not ended, also on nodes that are gone.
    failed : set of str
        Images that are not to be tried now.
    """
    return Planner(limits).plan(nodes, ranking, running=running, failed=failed)


def _plan_node(
    node: Node, best: Sequence[RankedImage], limits: Limits, failed: Set[str]
) -> NodePlan:
    under_way = node.pulling.size if node.pulling is not None else 0
    used = sum(node.held.get(image, 0) for image in node.ours) + under_way
    left = limits.budget - used
    # What the best images may take, whether they are there or not.
    best_left = limits.budget - limits.reserve
    room = limits.budget
    if node.disk:
        room = int(node.disk * limits.most_of_disk) - node.occupied - under_way
    present: list[str] = []
    missing: list[str] = []
    lacks: dict[str, Lack] = {}
    for image in best:
        if image.name in node.held:
            present.append(image.name)
            size = node.held[image.name]
            if size <= best_left:
                best_left -= size
            # If the node removes it, there must be room to pull it again.
            if image.name not in node.ours and size <= left:
                left -= size
        elif node.pulling is not None and image.name == node.pulling.image:
            best_left -= under_way
        elif image.name in failed:
            lacks[image.name] = "failed"
        elif image.size > min(left, best_left):
            lacks[image.name] = "budget"
        elif image.size > room:
            lacks[image.name] = "disk"
        else:
            missing.append(image.name)
            left -= image.size
            best_left -= image.size
            room -= image.size
    return NodePlan(node=node, used=used, present=present, missing=missing, lacks=lacks)
