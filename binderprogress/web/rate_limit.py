"""How many launches one client may start."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..core.client_address import client_network
from ..errors import TooManyRequestsError

__all__ = ["MAX_CLIENTS", "RateLimiter"]

MAX_CLIENTS = 50_000
"""Clients that are remembered: about 10 MB. What all of them start is limited elsewhere."""


class RateLimiter:
    """Counts per client, in windows that begin with a client's first request.

    Parameters
    ----------
    limit : int
        Requests per window; 0: no limit.
    period : float
        Seconds of a window.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self, *, limit: int, period: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._period = period
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}

    def take(self, client: str) -> None:
        """Count one request.

        Raises
        ------
        TooManyRequestsError
            If it is one too many; it is not counted then.
        """
        if not self._limit:
            return
        now = self._clock()
        # The oldest windows come first: a dict keeps its order, and a new window is put at its end.
        while self._windows and now >= next(iter(self._windows.values()))[0]:
            del self._windows[next(iter(self._windows))]
        key = client_network(client)
        end, count = self._windows.get(key, (now + self._period, 0))
        if count >= self._limit:
            seconds = max(end - now, 1.0)
            raise TooManyRequestsError(
                f"These are more than {self._limit} launches in {self._period:g} seconds. "
                f"Try again in {seconds:.0f} seconds.",
                retry_after=seconds,
            )
        if key not in self._windows and len(self._windows) >= MAX_CLIENTS:
            # Attack: an IPv6 /48 has 65,536 networks. Those whose windows end first are forgotten.
            del self._windows[next(iter(self._windows))]
        self._windows[key] = (end, count + 1)
