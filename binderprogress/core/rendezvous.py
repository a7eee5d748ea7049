"""Rendezvous hashing: assigns keys to names without shared state."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

__all__ = ["ranked"]


def ranked(key: str, names: Iterable[str]) -> list[str]:
    """Return the names in the order of preference for `key`.

    The order is the same in every process. When a name is removed, only its own keys move. A new
    name takes about the same share of keys from each of the others.
    """

    def weight(name: str) -> bytes:
        return blake2b(f"{name}\n{key}".encode(), digest_size=8).digest()

    return sorted(names, key=weight, reverse=True)
