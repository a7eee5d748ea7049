"""How long it takes to pull an image, from its size and the node that pulls it.

Seconds grow with the bytes. What differs between nodes, and with time, is how many bytes they pull
in a second. Its logarithm is learned for each node, and for all together: a node without pulls is
taken for an ordinary one.
"""

from __future__ import annotations

from collections import OrderedDict
from math import exp, log, sqrt

from .lognormal import SHORTEST, LogNormal

__all__ = ["Pulls", "size_text"]

_MOST_NODES = 1000
"""The least recently used is forgotten."""

_RECENT = 20.0
"""Pulls that count. Older ones fade."""

_ALIKE = 1.0
"""Pulls of a node that count as much as those of all others."""

_TYPICAL_RATE = 30e6
"""Default bytes per second."""

_UNKNOWN, _LEAST = 0.9, 0.15
"""Standard deviation of the logarithm: without any pull, and the least with many."""

_ONCE = 1.0
"""Seconds of a pull that do not depend on its size."""


class _Rates:
    """The mean of logarithms, and how much they vary. Newer ones count more."""

    def __init__(self) -> None:
        self.weight = 0.0
        self.mean = 0.0
        self.squares = 0.0

    def add(self, value: float) -> None:
        self.weight = min(self.weight + 1.0, _RECENT)
        share = 1.0 / self.weight
        off = value - self.mean
        self.mean += share * off
        self.squares = (1 - share) * (self.squares + share * off * off)


class Pulls:
    """What past pulls taught."""

    def __init__(self) -> None:
        self._all = _Rates()
        self._nodes: OrderedDict[str, _Rates] = OrderedDict()

    def add(self, size: int, seconds: float, *, node: str = "") -> None:
        """Learn from a pull.

        Parameters
        ----------
        size : int
            Bytes.
        seconds : float
        node : str
            Who has pulled it; empty if that is not known.
        """
        if size <= 0 or seconds <= 0:
            return
        rate = log(max(seconds - _ONCE, SHORTEST) / size)
        self._all.add(rate)
        if node:
            rates = self._nodes.pop(node, None) or _Rates()
            rates.add(rate)
            self._nodes[node] = rates
            if len(self._nodes) > _MOST_NODES:
                self._nodes.popitem(last=False)

    def expect(self, size: int, *, node: str = "") -> LogNormal:
        """Return the duration of a pull.

        Parameters
        ----------
        size : int
            Bytes. More than 0.
        node : str
            Who pulls it; empty if that is not known.
        """
        rate, sigma = log(1 / _TYPICAL_RATE), _UNKNOWN
        for known in (self._all, self._nodes.get(node)):
            if known is None or not known.weight:
                continue
            share = known.weight / (known.weight + _ALIKE)
            spread = max(sqrt(known.squares), _LEAST)
            rate += share * (known.mean - rate)
            sigma = sqrt((1 - share) * sigma**2 + share * spread**2)
        return LogNormal(log(_ONCE + size * exp(rate)), sigma)


def size_text(size: int) -> str:
    """Return a number of bytes for people: 350 MB or 1.2 GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(round(size / 1e6), 1)} MB"
