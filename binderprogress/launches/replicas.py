"""Tells what is shared with other replicas, and how many there are."""

from __future__ import annotations

from ..channels.durable import SharedRates
from .ledger import Ledger

__all__ = ["Replicas"]


class Replicas:
    """The replicas that share a store, of which this server is one.

    Parameters
    ----------
    ledger : Ledger
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @property
    def rates(self) -> SharedRates | None:
        """Counts requests in all replicas. None: there is no other replica."""
        store = self._ledger.store
        return None if store is None else store.rates
