"""Replicas that share a store, and what may happen to them."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path
from typing import Protocol

from binderprogress.channels.database.store import DatabaseStore
from binderprogress.channels.durable import DurableStore

from .durable import DurableMemoryStore, Memory

__all__ = [
    "KEY",
    "LASTS",
    "ManyReplicas",
    "MemoryReplicas",
    "PostgreSQLReplicas",
    "Replicas",
    "SQLiteReplicas",
]

LOG = logging.getLogger("tests.replicas")

LASTS = 1.5
"""Seconds after which a replica that says nothing is gone, in tests."""

KEY = secrets.token_hex(32)


class Replicas(Protocol):
    """Makes the stores of processes that use the same database, one at a time."""

    def new(self) -> DurableStore:
        """Return the store of one more process, not open yet."""
        ...

    async def kill(self, store: DurableStore) -> None:
        """End a process as SIGKILL does."""
        ...


class ManyReplicas(Replicas, Protocol):
    """Makes the stores of processes that use the same database at the same time."""

    async def pause(self, store: DurableStore) -> None:
        """Have the others believe that a process is gone, although it can still write."""
        ...


class MemoryReplicas:
    """Replicas of the model that tests of launches use."""

    def __init__(self) -> None:
        self._memory = Memory()
        self._count = 0

    def new(self) -> DurableMemoryStore:
        """Return the store of one more process."""
        self._count += 1
        return DurableMemoryStore(self._memory, f"replica {self._count}")

    async def kill(self, store: DurableStore) -> None:
        """End a process."""
        assert isinstance(store, DurableMemoryStore)
        store.die()

    async def pause(self, store: DurableStore) -> None:
        """Have a process count as gone."""
        assert isinstance(store, DurableMemoryStore)
        store.pause()


class SQLiteReplicas:
    """Processes that use the same SQLite file, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/launches.sqlite"

    def new(self) -> DatabaseStore:
        """Return the store of one more process."""
        return DatabaseStore(self.url, log=LOG)

    async def kill(self, store: DurableStore) -> None:
        """End a process; the lock of the file ends with it."""
        assert isinstance(store, DatabaseStore)
        await store._stop(0.1)


class PostgreSQLReplicas:
    """Processes that use the same PostgreSQL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def new(self) -> DatabaseStore:
        """Return the store of one more process."""
        return DatabaseStore(self.url, lasts=LASTS, keys=KEY, log=LOG)

    async def kill(self, store: DurableStore) -> None:
        """End a process; the others know when its time has run out."""
        assert isinstance(store, DatabaseStore)
        await store._stop(0.1)

    async def pause(self, store: DurableStore) -> None:
        """Have a process say no more that it is alive."""
        assert isinstance(store, DatabaseStore)
        store._silent.set()
