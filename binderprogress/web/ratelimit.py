"""How many launches one client may start."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable

from ..errors import TooManyRequestsError

__all__ = ["RateLimiter"]


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
        key = _network(client)
        end, count = self._windows.get(key, (now + self._period, 0))
        if count >= self._limit:
            seconds = max(end - now, 1.0)
            raise TooManyRequestsError(
                f"These are more than {self._limit} launches in {self._period:g} seconds. "
                f"Try again in {seconds:.0f} seconds.",
                retry_after=seconds,
            )
        self._windows[key] = (end, count + 1)


def _network(client: str) -> str:
    """Return what one client has for itself: with IPv6 that is a /64, not an address."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return client
