"""Tells what is shared with other replicas, and how many there are."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ..channels.durable import Others, replica_name
from ..channels.shared_rates import SharedRates
from .ledger import Ledger

__all__ = ["InAll", "Replicas"]


class InAll(msgspec.Struct, frozen=True, kw_only=True):
    """What is in progress in all replicas together.

    Attributes
    ----------
    running, building : int
        Number of launches and of builds.
    """

    running: int
    building: int


class Replicas:
    """The replicas that share a store, of which this server is one.

    Parameters
    ----------
    ledger : Ledger
    running, building : callable
        Return the number of launches and of builds in progress in this server.

    Attributes
    ----------
    name : str
        The name of this server among them.
    """

    def __init__(
        self, ledger: Ledger, *, running: Callable[[], int], building: Callable[[], int]
    ) -> None:
        self._store = ledger.store
        self._running = running
        self._building = building
        self.name = replica_name() if self._store is None else self._store.replica

    @property
    def count(self) -> int:
        """How many replicas are alive, with this one."""
        return 1 + self._others.replicas

    @property
    def in_all(self) -> InAll:
        """What is in progress in all replicas, a few seconds ago for the others."""
        others = self._others
        return InAll(
            running=self._running() + others.launches, building=self._building() + others.builds
        )

    @property
    def rates(self) -> SharedRates | None:
        """Counts requests in all replicas. None: there is no other replica."""
        return None if self._store is None else self._store.rates

    @property
    def _others(self) -> Others:
        return Others() if self._store is None else self._store.others
