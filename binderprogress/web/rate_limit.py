"""The rate limit: how many launches one client may start in a period."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Any

from ..channels.shared_rates import RequestCount, SharedRates
from ..core.client_address import client_network
from ..core.periods import period_text
from ..errors import StorageError, TooManyRequestsError

__all__ = ["MAX_CLIENTS", "RateLimiter"]

MAX_CLIENTS = 50_000
"""Maximum number of clients to remember, which takes about 10 MB."""

_PATIENCE = 1.0
"""Seconds to wait for the database."""

_PAUSE = 5.0
"""Seconds after which a database that did not answer is asked again."""


class RateLimiter:
    """A fixed-window rate limit for each client. A window starts with the client's first request.

    Parameters
    ----------
    limit : int
        Maximum number of requests per window; 0 disables the limit.
    period : float
        Length of a window, in seconds.
    clock : callable
        Returns monotonic time, in seconds.
    shared : SharedRates, optional
        Counts the requests to all replicas.
    log : logging.Logger, optional
    """

    def __init__(
        self,
        *,
        limit: int,
        period: float,
        clock: Callable[[], float] = time.monotonic,
        shared: SharedRates | None = None,
        log: logging.Logger | logging.LoggerAdapter[Any] | None = None,
    ) -> None:
        self._limit = limit
        self._period = period
        self._clock = clock
        self._shared = shared
        self._log = log or logging.getLogger(__name__)
        self._windows: dict[str, tuple[float, int]] = {}
        """The end of each client's window, and its requests: as the database has last said."""
        self._is_alone = False
        """Whether only requests to this replica are counted, because the database is away."""
        self._ask_after = 0.0

    async def admit(self, client: str) -> None:
        """Count one request of a client in all replicas; in this one if the database is away.

        Parameters
        ----------
        client : str
            As for `take`.

        Raises
        ------
        TooManyRequestsError
            As `take` does.
        """
        if not self._limit:
            return
        key = client_network(client)
        # Attack: a client that goes on above its limit would load the database.
        self._refuse_if_full(key)
        count = await self._count(key)
        if count is None:
            self.take(client)
            return
        self._keep(key, self._clock() + count.seconds, count.count)
        if count.count > self._limit:
            raise self._refusal(count.seconds)

    def take(self, client: str) -> None:
        """Count one request of a client in this process.

        Parameters
        ----------
        client : str
            IP address or account. Addresses of one IPv6 /64 network count as one client.

        Raises
        ------
        TooManyRequestsError
            If the limit is exceeded. The request is not counted then.
        """
        if not self._limit:
            return
        key = client_network(client)
        end, count = self._refuse_if_full(key)
        self._keep(key, end, count + 1)

    async def _count(self, key: str) -> RequestCount | None:
        """Count one request in all replicas; None if that is not possible now."""
        if self._shared is None or self._clock() < self._ask_after:
            return None
        try:
            async with asyncio.timeout(_PATIENCE):
                count = await self._shared.count(key, limit=self._limit, period=self._period)
        except (StorageError, TimeoutError) as error:
            self._ask_after = self._clock() + _PAUSE
            if not self._is_alone:
                self._is_alone = True
                self._log.warning(
                    "The rate limit counts requests to this replica only: %s",
                    str(error) or f"the database did not answer within {_PATIENCE:g} s",
                )
            return None
        if self._is_alone:
            self._is_alone = False
            self._log.info("The rate limit counts requests to all replicas again.")
        return count

    def _refuse_if_full(self, key: str) -> tuple[float, int]:
        """Return the window of a client: its end, and the number of requests."""
        now = self._clock()
        # A dict keeps insertion order, so the oldest windows come first.
        while self._windows and now >= next(iter(self._windows.values()))[0]:
            del self._windows[next(iter(self._windows))]
        new = now + self._period, 0
        end, count = self._windows.get(key, new)
        if now >= end:
            # It is from the database, and ends before the one in front.
            return new
        if count >= self._limit:
            raise self._refusal(end - now)
        return end, count

    def _keep(self, key: str, end: float, count: int) -> None:
        if key not in self._windows and len(self._windows) >= MAX_CLIENTS:
            # Attack: an IPv6 /48 has 65,536 networks. Drop the window that ends first.
            del self._windows[next(iter(self._windows))]
        self._windows[key] = (end, count)

    def _refusal(self, seconds: float) -> TooManyRequestsError:
        seconds = max(seconds, 1.0)
        launches = f"{self._limit} launch{'' if self._limit == 1 else 'es'}"
        return TooManyRequestsError(
            f"You started more than {launches} in {period_text(self._period)}. "
            f"Try again in {period_text(math.ceil(seconds))}.",
            retry_after=seconds,
        )
