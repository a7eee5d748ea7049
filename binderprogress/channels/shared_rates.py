"""How a durable store counts the requests of clients for all replicas."""

from __future__ import annotations

from typing import Protocol

import msgspec

__all__ = ["RequestCount", "SharedRates"]


class RequestCount(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of a client in a period.

    Attributes
    ----------
    count : int
        Number of requests, with this one. It exceeds the limit by one if this one is refused.
    seconds : float
        Until the period is over.
    """

    count: int
    seconds: float


class SharedRates(Protocol):
    """Counts the requests of clients in all replicas."""

    async def count(self, client: str, *, limit: int, period: float) -> RequestCount:
        """Count one request. The period of a client begins with its first request.

        Parameters
        ----------
        client : str
        limit : int
            Maximum number of requests in a period. Requests above it are not counted.
        period : float
            Seconds.

        Raises
        ------
        StorageError
            If the store cannot be reached.
        """
        ...
