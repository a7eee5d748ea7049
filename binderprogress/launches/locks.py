"""Locks by name, of which there are as many as are in use."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

__all__ = ["Locks"]


class Locks:
    """A lock for each name."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, name: str) -> asyncio.Lock:
        """Return the lock of a name. It is forgotten once nobody holds it or waits for it."""
        return self._locks.setdefault(name, asyncio.Lock())
