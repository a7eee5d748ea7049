"""The replica that does what only one may do."""

from __future__ import annotations

import secrets

from ..channels.durable import DurableStore
from ..errors import LeaseLostError, LeaseTakenError
from .ledger import Ledger

__all__ = ["LEADER", "Leader"]

LEADER = "leader"
"""The name of its lease, which never ends. Its state is the id of the installation."""


class Leader:
    """Decides which one it is, among all replicas that share the store.

    Without a durable store, each process is an installation of its own.

    Parameters
    ----------
    ledger : Ledger
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.installation = secrets.token_hex(8)
        """Identifies the installation. After `open`, it is the same for all replicas."""

    async def open(self) -> None:
        """Find out which installation this is.

        Raises
        ------
        StorageError
            If the store is away for too long.
        """
        if (store := self._ledger.store) is not None:
            self.installation = await self._ledger.ask(lambda: self._find(store))

    async def is_here(self) -> bool:
        """Return whether it is this replica; if there is none, it is from now on.

        Raises
        ------
        StorageError
            If the store is away.
        """
        if (store := self._ledger.store) is None:
            return True
        try:
            await store.renew(LEADER, self.installation.encode())
        except LeaseLostError:
            try:
                await store.take(LEADER)
            except LeaseLostError:
                return False
        return True

    async def name(self) -> str:
        """Return the replica that it was last. Empty: none yet.

        Raises
        ------
        StorageError
            If the store is away.
        """
        lease = await self._ledger.find(LEADER)
        return lease.owner if lease is not None else ""

    async def _find(self, store: DurableStore) -> str:
        if (lease := await store.find(LEADER)) is not None:
            return lease.state.decode()
        try:
            await store.lease(LEADER, self.installation.encode())
        except LeaseTakenError:
            # By another replica, at this moment.
            return await self._find(store)
        return self.installation
