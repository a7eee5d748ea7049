"""Rendezvous hashing: assigns keys to names without shared state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from hashlib import blake2b

__all__ = ["ranked"]

_DIGESTS = 2**64


def ranked(key: str, names: Iterable[str], weights: Mapping[str, float] | None = None) -> list[str]:
    """Return the names in the order of preference for `key`.

    The order is the same in every process. When a name is removed, only its own keys move. A new
    name takes about the same share of keys from each of the others.

    Parameters
    ----------
    key : str
    names : iterable of str
    weights : mapping, optional
        A positive number for each name. Its share of the keys is proportional to it.
    """

    def digest(name: str) -> int:
        return int.from_bytes(blake2b(f"{name}\n{key}".encode(), digest_size=8).digest())

    if weights is None:
        return sorted(names, key=digest, reverse=True)
    # An exponential variable for each name, with its weight as the rate: the smallest one is that
    # of a name with a probability proportional to its weight.
    return sorted(
        names, key=lambda name: -math.log((digest(name) + 0.5) / _DIGESTS) / weights[name]
    )
