"""The launches of other replicas that somebody watches here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..channels.durable import DurableStore, Lease
from ..errors import LeaseLostError, StorageError
from .follower import Follower
from .launch import Launch
from .ledger import Ledger
from .restorer import Restorer
from .stored import decode_launch
from .timers import Timers

__all__ = ["CANCEL", "Followers"]

CANCEL = "cancel"
"""What the owner of a launch is asked for."""

_IDLE = 60.0
"""Seconds without viewers after which a launch is not followed any more."""

_CANCELLED = 5.0
"""Seconds to wait until the owner has cancelled a launch."""

_MOST_SILENT = 30.0
"""Seconds after which owners are told again that there are viewers, at most."""


class Followers:
    """Follows launches, tells their owners that they have viewers, and asks owners to cancel them.

    Parameters
    ----------
    ledger : Ledger
    restorer : Restorer
    timers : Timers
    abandon_after : float
        Seconds without viewers after which owners cancel a launch.
    over : callable
        Called with each launch that is over.
    forget : callable
        Called with each launch that cannot be shown any more, or that nobody watches.
    log : logging.Logger
    """

    def __init__(
        self,
        ledger: Ledger,
        restorer: Restorer,
        *,
        timers: Timers,
        abandon_after: float,
        over: Callable[[Launch], None],
        forget: Callable[[Launch], None],
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._ledger = ledger
        self._restorer = restorer
        self._timers = timers
        self._interval = min(abandon_after / 4, _MOST_SILENT)
        self._over = over
        self._forget = forget
        self._log = log
        self.is_closed = False
        self._followers: dict[str, Follower] = {}
        self._seen: dict[str, None] = {}
        """Leases of launches that were watched or asked for since owners were told."""
        self._is_seen = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    @property
    def _store(self) -> DurableStore:
        store = self._ledger.store
        assert store is not None  # noqa: S101 - launches are followed only if it is shared
        return store

    async def find(self, lease: Lease) -> Launch | None:
        """Return a launch that another replica runs; None if it has no events.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        launch_id = lease.name.removeprefix("launch.")
        follower = self._followers.get(launch_id)
        if follower is None:
            launch = self._restorer.shown(launch_id, decode_launch(lease.state))
            follower = self._follow(launch, is_new=True)
        is_shown = False
        try:
            is_shown = await follower.shown()
        finally:
            if not is_shown and self._followers.get(launch_id) is follower:
                del self._followers[launch_id]
                follower.cancel()
                follower.launch.let_go(None, is_shown=False)
        return follower.launch if is_shown else None

    def adopt(self, launch: Launch) -> None:
        """Follow a launch that this replica ran until now."""
        self._follow(launch, is_new=False)
        self.watch(launch)

    async def release(self, launch_id: str) -> Launch | None:
        """Stop following a launch, because this replica runs it now. Return it as it is."""
        follower = self._followers.pop(launch_id, None)
        if follower is None:
            return None
        await follower.stop()
        self._timers.stop(follower.launch)
        return follower.launch

    def watch(self, launch: Launch) -> None:
        """Note that a launch has viewers, or was asked for."""
        if launch.id not in self._followers:
            return
        self._timers.stop(launch)
        if not launch.viewers:
            self._timers.set(launch, _IDLE, self._drop)
        self._seen[launch.lease] = None
        self._is_seen.set()
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell(), name="viewers of followed launches")

    async def cancel(self, launch: Launch) -> None:
        """Have the owner of a launch cancel it, and wait for that. If it runs here, do nothing.

        Raises
        ------
        StorageError
            If the owner cannot be asked.
        """
        if not launch.is_followed:
            return
        with suppress(LeaseLostError):
            await self._store.ask(launch.lease, CANCEL)
        ended = asyncio.Event()
        launch.changed.add(ended.set)
        try:
            async with asyncio.timeout(_CANCELLED):
                while not launch.closed:
                    ended.clear()
                    await ended.wait()
        except TimeoutError:
            self._log.info("%r will be cancelled by its next owner", launch)
        finally:
            launch.changed.remove(ended.set)

    async def close(self) -> None:
        """Stop following, and follow nothing more."""
        self.is_closed = True
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        await asyncio.gather(*map(self.release, list(self._followers)))

    def _follow(self, launch: Launch, *, is_new: bool) -> Follower:
        follower = Follower(
            launch,
            is_new=is_new,
            store=self._store,
            restorer=self._restorer,
            over=self._is_over,
            gone=self._drop,
        )
        self._followers[launch.id] = follower
        launch.watched.add(lambda: self.watch(launch))
        return follower

    def _is_over(self, launch: Launch) -> None:
        self._followers.pop(launch.id, None)
        self._over(launch)

    def _drop(self, launch: Launch) -> None:
        follower = self._followers.pop(launch.id, None)
        if follower is not None:
            follower.cancel()
        self._forget(launch)

    async def _tell(self) -> None:
        """Tell owners of viewers: of the first at once, and as long as there are any."""
        while True:
            try:
                async with asyncio.timeout(self._interval):
                    await self._is_seen.wait()
            except TimeoutError:
                pass
            watched = [one.launch.lease for one in self._followers.values() if one.launch.viewers]
            names = dict.fromkeys([*self._seen, *watched])
            self._seen.clear()
            self._is_seen.clear()
            if not names:
                continue
            try:
                await self._store.seen(names)
            except StorageError as error:
                self._log.debug("Owners cannot be told of viewers: %s", error)
            await asyncio.sleep(min(1.0, self._interval))
