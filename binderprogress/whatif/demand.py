"""What people launch: the input of a simulation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from random import Random
from typing import Protocol

import msgspec

from .policy import Hubs

__all__ = ["HALF_LIFE", "Demand", "Image", "Request", "Source", "around", "numbered_hubs"]

HALF_LIFE = 14 * 86400.0
"""Seconds after which a launch counts half for the popularity of its repository."""


class Image(msgspec.Struct, gc=False):
    """An image, or an environment.

    Attributes
    ----------
    repository : int
        Index in `Demand.repositories`.
    gb : float
        Size on a node, without what all images share; 0 if nothing is pulled.
    is_built : bool
        Whether it exists from the beginning.
    """

    repository: int
    gb: float
    is_built: bool


class Request(msgspec.Struct, gc=False):
    """A launch that somebody wants.

    Attributes
    ----------
    time : float
        Seconds since the beginning.
    image : int
        Index in `Demand.images`.
    check, build, start : float
        Seconds that the work takes: checking, building if it has to be, and starting the server.
    stay : float
        Seconds for which the server is used.
    fails : bool
        Whether the build fails.
    hub : int
        Number of the hub that launched it, from 0; -1: not recorded.
    """

    time: float
    image: int
    check: float
    build: float
    start: float
    stay: float
    fails: bool = False
    hub: int = -1


class Demand(msgspec.Struct):
    """All launches of a period.

    Attributes
    ----------
    began : float
        In seconds since 1970.
    seconds : float
        Length of the period.
    requests : list of Request
        In the order of their times.
    images : list of Image
    repositories : list of str
    scores : list of float
        Popularity of each repository at the beginning, in launches; see `HALF_LIFE`.
    hubs : Hubs or None
        Those of the record, if the requests say to which one they went. With the same number and
        routing, they go there again.
    shared_gb : float
        Size of what all images share. A node pulls it with its first image.
    """

    began: float
    seconds: float
    requests: list[Request]
    images: list[Image]
    repositories: list[str]
    scores: list[float]
    hubs: Hubs | None = None
    shared_gb: float = 0.0


class Source(Protocol):
    """Says what people launch."""

    def draw(self, rand: Random) -> Demand:
        """Return the launches of a period. What is not known is drawn at random."""
        ...


def numbered_hubs(hosts: Iterable[str], count: int) -> dict[str, int]:
    """Return the number of each hub of a record; nothing unless there are `count` of them."""
    names = sorted(set(hosts))
    return {name: number for number, name in enumerate(names)} if len(names) == count else {}


def around(rand: Random, median: float, sigma: float) -> float:
    """Draw from a log-normal distribution. `sigma` is the logarithm's standard deviation."""
    return median * math.exp(rand.gauss(0.0, sigma))
