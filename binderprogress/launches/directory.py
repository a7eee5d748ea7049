"""The launches that this process knows, and where the others are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

from ..channels.durable import Lease
from ..errors import NotFoundError, StorageError, StoredStateError
from .budget import Budgets
from .followers import Followers
from .launch import Launch
from .ledger import Ledger
from .locks import Locks
from .restorer import Restorer
from .stored import launch_lease
from .timers import Timers

__all__ = ["Directory"]

_MOST_AT_ONCE = 16
"""Launches that are looked for at the same time: each takes several requests to the store."""


class Directory:
    """Finds launches: those that run here, those of other replicas, and those that are over.

    Parameters
    ----------
    ledger : Ledger
    restorer : Restorer
    timers : Timers
    budgets : Budgets
    abandon_after : float
        Seconds without viewers after which launches are cancelled.
    forget_after : float
        Seconds after its end for which a launch is kept.
    log : logging.Logger
    """

    def __init__(
        self,
        ledger: Ledger,
        restorer: Restorer,
        *,
        timers: Timers,
        budgets: Budgets,
        abandon_after: float,
        forget_after: float,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._ledger = ledger
        self._restorer = restorer
        self._timers = timers
        self._budgets = budgets
        self._forget_after = forget_after
        self._launches: dict[str, Launch] = {}
        self._unreadable: set[str] = set()
        self._log = log
        self.locks = Locks()
        """By launch, held while it is looked for or taken over: then, it may be found nowhere."""
        self._slots = asyncio.Semaphore(_MOST_AT_ONCE)
        self.followers = Followers(
            ledger,
            restorer,
            timers=timers,
            abandon_after=abandon_after,
            over=self.keep_for_a_while,
            forget=self.forget,
            log=log,
        )

    def __iter__(self) -> Iterator[Launch]:
        return iter(list(self._launches.values()))

    def add(self, launch: Launch) -> None:
        """Add a launch that runs here."""
        self._launches[launch.id] = launch

    def get(self, launch_id: str, *, user: str) -> Launch:
        """Return a launch; see `LaunchManager.get`."""
        launch = self._launches.get(launch_id)
        if launch is None or launch.caller.user != user:
            raise NotFoundError(
                "There is no such launch. It may be over and forgotten; start a new one."
            )
        return launch

    async def find(self, launch_id: str) -> None:
        """Make a launch known, if there is one; see `LaunchManager.find`."""
        if not await self._find(launch_id):
            raise StorageError("The launch is being taken up again. Try again in a moment.")

    async def of(self, user: str) -> list[Launch]:
        """List the launches of a user; see `LaunchManager.of`."""
        for lease in await self._ledger.leases(launch_lease(""), user=user):
            await self._find(lease.name.removeprefix(launch_lease("")))
        found = [one for one in self._launches.values() if one.caller.user == user]
        return sorted(found, key=lambda one: one.created, reverse=True)

    async def _find(self, launch_id: str) -> bool:
        """Make a launch known that is over, or that another replica runs.

        Returns
        -------
        bool
            Whether that was possible, or it is certain that there is nothing to show. Otherwise,
            this replica is about to run it.
        """
        if self._ledger.store is None or self._is_known(launch_id):
            return True
        async with self.locks.of(launch_id), self._slots:
            if self._is_known(launch_id):
                # Somebody else has looked for it, or it was taken over.
                return True
            lease = await self._ledger.find(launch_lease(launch_id))
            return lease is None or await self._show(launch_id, lease)

    def _is_known(self, launch_id: str) -> bool:
        return launch_id in self._launches or launch_id in self._unreadable

    async def _show(self, launch_id: str, lease: Lease) -> bool:
        if lease.ended:
            launch = await self._ended(lease)
        elif self._ledger.is_shared and self._ledger.is_elsewhere(lease):
            launch = await self.followers.find(lease)
        else:
            return False
        if launch is None:
            return True
        self._launches[launch_id] = launch
        if launch.is_followed:
            self.followers.watch(launch)
        else:
            self.keep_for_a_while(launch)
        return True

    async def _ended(self, lease: Lease) -> Launch | None:
        """Return a launch that is over; None if its events are gone, or of no use here."""
        try:
            return await self._restorer.ended(lease)
        except StoredStateError as error:
            # Such as a launch of the backend that was configured before. The others are shown.
            self._log.warning("What is stored as %s cannot be shown: %s", lease.name, error)
            self._unreadable.add(lease.name.removeprefix(launch_lease("")))
            return None

    def keep_for_a_while(self, launch: Launch) -> None:
        """Keep a launch that is over until `forget_after` has passed."""
        self._timers.set(launch, self._forget_after, self.forget)
        self._budgets.keep(launch)

    def leave(self, launch: Launch) -> None:
        """Go on showing a launch that another replica runs now, unless this one is stopping."""
        if self.followers.is_closed or not self._ledger.is_shared:
            self.forget(launch)
        else:
            self.followers.adopt(launch)

    def forget(self, launch: Launch) -> None:
        """Free the memory of a launch."""
        self._timers.stop(launch)
        self._launches.pop(launch.id, None)
        self._budgets.drop(launch)
        launch.forget()

    def clear(self) -> None:
        """Forget all launches. Their viewers may still read what they have not got yet."""
        self._launches.clear()
