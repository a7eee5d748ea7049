"""A health check whose results are cached, so that `/health` may be requested often."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ..core.redact import redact
from ..errors import BinderProgressError

__all__ = ["HealthCheck"]

_FAILURE_INTERVAL = 1.0
"""Maximum number of seconds for which a failure is cached."""


class HealthCheck:
    """The health check of one service that launches depend on.

    Parameters
    ----------
    service : str
        Name of the service, for people.
    check : callable
        Checks the service and returns additional fields for the result. It raises an exception if
        the service does not work.
    every : float
        Seconds for which a success is cached. Failures are cached for at most 1 s.
    timeout : float
        Maximum time for a check, in seconds.
    clock : callable
        Returns monotonic time, in seconds.
    """

    def __init__(
        self,
        service: str,
        check: Callable[[], Awaitable[dict[str, Any]]],
        *,
        every: float = 10.0,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.service = service
        self._check = check
        self._every = every
        self._timeout = timeout
        self._clock = clock
        self._expires = 0.0
        self._result: asyncio.Task[dict[str, Any]] | None = None

    async def result(self) -> dict[str, Any]:
        """Return the cached result, or check again.

        Returns
        -------
        dict
            ``service``, ``ok``, ``latency`` in seconds, ``problem`` if it failed, and the fields
            that `check` returned.
        """
        if self._result is None or (self._result.done() and self._clock() >= self._expires):
            self._result = asyncio.create_task(self._run())
        # Shielded, because other requests may wait for the same result.
        return await asyncio.shield(self._result)

    async def _run(self) -> dict[str, Any]:
        started = self._clock()
        outcome: dict[str, Any]
        try:
            async with asyncio.timeout(self._timeout):
                outcome = {"ok": True, **await self._check()}
        except TimeoutError:
            outcome = {"ok": False, "problem": f"no answer within {self._timeout:g} s"}
        except (BinderProgressError, OSError) as error:
            outcome = {"ok": False, "problem": redact(str(error))[:200]}
        now = self._clock()
        self._expires = now + (
            self._every if outcome["ok"] else min(self._every, _FAILURE_INTERVAL)
        )
        return {"service": self.service, "latency": round(now - started, 4), **outcome}
