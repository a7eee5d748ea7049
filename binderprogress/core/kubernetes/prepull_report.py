"""What is to be known of images that are pulled in advance: for people, metrics and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from .backoff import Failure
from .prepull import Plan, RankedImage

__all__ = ["ImageReport", "NodeReport", "PrepullReport", "PrepullTotals", "make_report"]


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """A node.

    Attributes
    ----------
    name : str
    obstacle : str
        Why nothing may be pulled there now; empty if it may.
    used : int
        Bytes of the budget that are in use.
    disk, occupied : int
        Bytes of its disk, and of all images on it.
    present, missing : int
        Number of images of the ranking that it has, and that are still to be pulled.
    pulling : str
        The image that is being pulled; empty: none.
    next : str
        The next one; empty: none.
    """

    name: str
    obstacle: str
    used: int
    disk: int
    occupied: int
    present: int
    missing: int
    pulling: str
    next: str


class ImageReport(msgspec.Struct, frozen=True, kw_only=True):
    """An image of the ranking.

    Attributes
    ----------
    name : str
    score : float
    size : int
        Bytes.
    present, missing : int
        Number of nodes that have it, and to which it is still to be pulled.
    no_room : int
        Number of nodes whose budget or disk has no room for it.
    problem : str
        Why it could not be pulled; empty if it could.
    """

    name: str
    score: float
    size: int
    present: int
    missing: int
    no_room: int
    problem: str = ""


class PrepullTotals(msgspec.Struct, kw_only=True):
    """Pulls that this process has seen the end of, and the bytes of those that succeeded."""

    pulled: int = 0
    failed: int = 0
    given_up: int = 0
    pulled_bytes: int = 0


class PrepullReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state of all nodes and images.

    Attributes
    ----------
    leader : str
        The process that pulls; empty if there is none.
    is_leader : bool
        Whether that is this process.
    budget : int
        Bytes on each node.
    running, max_pulls : int
        Number of pulls, and how many there may be at the same time.
    nodes : list of NodeReport
        In the order in which they are served.
    images : list of ImageReport
        Those that are worth most for their size come first.
    totals : PrepullTotals
    """

    leader: str = ""
    is_leader: bool = False
    budget: int
    running: int = 0
    max_pulls: int
    nodes: Sequence[NodeReport] = ()
    images: Sequence[ImageReport] = ()
    totals: PrepullTotals = msgspec.field(default_factory=PrepullTotals)


def make_report(
    plan: Plan,
    ranking: Sequence[RankedImage],
    failures: Mapping[str, Failure],
    *,
    leader: str,
    is_leader: bool,
    budget: int,
    running: int,
    max_pulls: int,
    totals: PrepullTotals,
) -> PrepullReport:
    """Return what is to be known of a plan, and of the ranking and failures it was made with."""
    nodes = [
        NodeReport(
            name=each.node.name,
            obstacle=each.node.obstacle,
            used=each.used,
            disk=each.node.disk,
            occupied=each.node.occupied,
            present=len(each.present),
            missing=len(each.missing),
            pulling=each.node.pulling.image if each.node.pulling is not None else "",
            next=next(iter(each.missing), ""),
        )
        for each in plan.nodes
    ]
    present = Counter(name for each in plan.nodes for name in each.present)
    missing = Counter(name for each in plan.nodes for name in each.missing)
    no_room = Counter(
        name for each in plan.nodes for name, why in each.lacks.items() if why != "failed"
    )
    images = [
        ImageReport(
            name=image.name,
            score=round(image.score, 3),
            size=image.size,
            present=present[image.name],
            missing=missing[image.name],
            no_room=no_room[image.name],
            problem=failures[image.name].message if image.name in failures else "",
        )
        for image in sorted(ranking, key=lambda image: (-image.score / image.size, image.name))
    ]
    return PrepullReport(
        leader=leader,
        is_leader=is_leader,
        budget=budget,
        running=running,
        max_pulls=max_pulls,
        nodes=nodes,
        images=images,
        totals=totals,
    )
