"""Has what builds have left removed, from time to time, by one replica."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ..backends.base import AnyBackend, Cleaner
from ..errors import StorageError, StoredStateError
from .leader import Leader
from .ledger import Ledger
from .shared_builds import SharedBuilds
from .stored import decode_build

__all__ = ["BuildCleaner"]

_INTERVAL = 60.0
"""Seconds between two rounds."""


class BuildCleaner:
    """Asks a backend to clean up, if builds can leave anything; see `Cleaner`.

    Parameters
    ----------
    backend : Backend
    ledger : Ledger
    builds : SharedBuilds
    log : logging.Logger
    """

    def __init__(
        self,
        backend: AnyBackend,
        *,
        ledger: Ledger,
        builds: SharedBuilds,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        is_needed = backend.profile.leaves_builds and isinstance(backend, Cleaner)
        self._backend = backend if is_needed and isinstance(backend, Cleaner) else None
        self._ledger = ledger
        self._builds = builds
        self._leader = Leader(ledger)
        self._log = log
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin. No build may begin before.

        Raises
        ------
        StorageError
            If the store is away for too long.
        """
        if self._backend is not None:
            await self._leader.open()
            self._backend.belong_to(self._leader.installation)
            self._task = asyncio.create_task(self._run(self._backend), name="clean up builds")

    async def close(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, backend: Cleaner) -> None:
        while True:
            try:
                if await self._leader.is_here():
                    await backend.clean_up(self._wanted)
            except StorageError as error:
                self._log.warning("Nothing that builds have left is removed now: %s", error)
            except Exception:  # noqa: BLE001 - whatever it is, the next round may succeed
                self._log.exception("What builds have left cannot be removed")
            await asyncio.sleep(_INTERVAL)

    async def _wanted(self) -> list[Any] | None:
        """Return what is being built, in all replicas. None: that cannot be found out."""
        wanted = [build.resolved for build in self._builds.running]
        if (store := self._ledger.store) is None:
            return wanted
        for lease in await store.leases("build.", ended=False):
            try:
                stored = decode_build(lease.state)
                wanted.append(await self._ledger.codec.resolved(stored.resolved))
            except StoredStateError as error:
                # Such as one of a newer version, while replicas are replaced.
                self._log.warning("It is not known what is being built: %s", error)
                return None
        return wanted
