"""A lock for each launch that is looked for, or taken over."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

__all__ = ["LaunchLocks"]


class LaunchLocks:
    """Keeps a launch from being looked for while it is taken over.

    Meanwhile, it would be found neither here nor elsewhere.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, launch_id: str) -> asyncio.Lock:
        """Return the lock of a launch. It is forgotten once nobody holds or waits for it."""
        lock = self._locks.get(launch_id)
        if lock is None:
            lock = self._locks[launch_id] = asyncio.Lock()
        return lock
