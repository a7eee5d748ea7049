"""The lease of a build: no other replica builds the same at the same time."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

from ..backends.base import AnyBackend, BuildCanceller, BuildResult
from ..core.log.reasons import failure
from ..errors import (
    BinderProgressError,
    BuiltElsewhereError,
    LeaseLostError,
    LeaseTakenError,
    StorageError,
)
from .ledger import Leased, Ledger

__all__ = ["BuildLease"]

Log = logging.Logger | logging.LoggerAdapter[Any]


class BuildLease:
    """The lease of a build. Without a durable store, there is none, and nothing to wait for.

    Parameters
    ----------
    build : Build
    key : str
        What is the same for all builds that make the same.
    ledger : Ledger
    """

    def __init__(self, build: Leased, key: str, ledger: Ledger) -> None:
        self._build = build
        self._key = key
        self._ledger = ledger
        self._is_mine = asyncio.Event()

    async def begin(self) -> None:
        """Create the lease.

        Raises
        ------
        BuiltElsewhereError
            If another replica builds the same.
        StorageError
            If it cannot be stored.
        """
        try:
            await self._ledger.begin(self._build, key=self._key)
        except LeaseTakenError:
            owner = await self._ledger.builder(self._key)
            if owner:
                raise BuiltElsewhereError(owner) from None
            # It has just ended, or is ending.
            await self._ledger.begin(self._build)
        self.own()

    async def cancel(self, backend: AnyBackend, resolved: Any, log: Log) -> None:
        """End a build that goes on without this process, and that nobody waits for."""
        if isinstance(backend, BuildCanceller):
            try:
                await backend.cancel_build(resolved)
            except Exception:
                log.exception("The build of %s cannot be ended", self._key)

    def own(self) -> None:
        """Note that this replica owns it."""
        self._is_mine.set()

    async def begun(self, task: asyncio.Future[BuildResult]) -> None:
        """Wait until it is certain that no other replica builds the same.

        Parameters
        ----------
        task : Future
            Of the build.

        Raises
        ------
        BuiltElsewhereError
            If one does.
        LaunchFailedError
            If that cannot be found out.
        """
        if not self._ledger.is_shared or self._is_mine.is_set():
            return
        waiting = asyncio.create_task(self._is_mine.wait())
        ended: set[asyncio.Future[Any]] = {task, waiting}
        try:
            await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not self._is_mine.is_set():
            await asyncio.shield(task)

    async def loss(self, error: StorageError) -> BinderProgressError:
        """Return how the build ends, because its events or its result cannot be stored."""
        if isinstance(error, (LeaseLostError, LeaseTakenError)):
            # If the store cannot say who has it now, that is no other failure than the first one.
            with suppress(StorageError):
                return BuiltElsewhereError(await self._ledger.owner(self._build.lease))
        return failure("store-failed")
