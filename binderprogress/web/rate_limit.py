"""The rate limit: how many launches one client may start in a period."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..core.client_address import client_network
from ..errors import TooManyRequestsError

__all__ = ["MAX_CLIENTS", "RateLimiter"]

MAX_CLIENTS = 50_000
"""Maximum number of clients to remember, which takes about 10 MB."""


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
    """

    def __init__(
        self, *, limit: int, period: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._period = period
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}

    def take(self, client: str) -> None:
        """Count one request of a client.

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
        now = self._clock()
        # A dict keeps insertion order, so the oldest windows come first.
        while self._windows and now >= next(iter(self._windows.values()))[0]:
            del self._windows[next(iter(self._windows))]
        key = client_network(client)
        end, count = self._windows.get(key, (now + self._period, 0))
        if count >= self._limit:
            seconds = max(end - now, 1.0)
            raise TooManyRequestsError(
                f"You started more than {self._limit} launches in {self._period:g} seconds. "
                f"Try again in {seconds:.0f} seconds.",
                retry_after=seconds,
            )
        if key not in self._windows and len(self._windows) >= MAX_CLIENTS:
            # Attack: an IPv6 /48 has 65,536 networks. Drop the window that ends first.
            del self._windows[next(iter(self._windows))]
        self._windows[key] = (end, count + 1)
