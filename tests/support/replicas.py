"""Replicas that share a store, and what may happen to them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

from binderprogress.channels.database.store import DatabaseStore
from binderprogress.channels.durable import DurableStore

__all__ = ["Replicas", "SQLiteReplicas"]

LOG = logging.getLogger("tests.replicas")


class Replicas(Protocol):
    """Makes the stores of processes that use the same database."""

    def new(self) -> DurableStore:
        """Return the store of one more process, not open yet."""
        ...

    async def kill(self, store: DurableStore) -> None:
        """End a process as SIGKILL does, and wait until others may know that it is gone."""
        ...


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
