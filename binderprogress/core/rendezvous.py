"""Who takes what, without anybody keeping a list: rendezvous hashing."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

__all__ = ["ranked"]


def ranked(key: str, names: Iterable[str]) -> list[str]:
    """Return the names in the order in which they are to take `key`.

    It is the same everywhere and always. When a name goes, only what was its own goes to others;
    when one comes, it takes from each of the others about the same.
    """

    def weight(name: str) -> bytes:
        return blake2b(f"{name}\n{key}".encode(), digest_size=8).digest()

    return sorted(names, key=weight, reverse=True)
