"""One part that must work, asked seldom however often `/health` is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ..core.redact import redact
from ..errors import BinderProgressError

__all__ = ["HealthCheck"]

_SOON = 1.0


class HealthCheck:
    """One part that must work, asked at most every few seconds, however often we are.

    Parameters
    ----------
    service : str
        Its name for those who read it.
    ask : callable
        Returns when it works, with what else is to be told of it, or raises.
    every : float
        Seconds for which a good answer holds; a bad one is looked after sooner.
    timeout : float
        Seconds after which none means that it does not work.
    """

    def __init__(
        self,
        service: str,
        ask: Callable[[], Awaitable[dict[str, Any]]],
        *,
        every: float = 10.0,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.service = service
        self._ask = ask
        self._every = every
        self._timeout = timeout
        self._clock = clock
        self._until = 0.0
        self._answer: asyncio.Task[dict[str, Any]] | None = None

    async def answer(self) -> dict[str, Any]:
        """Return how it is: ``service``, ``ok``, ``latency`` in seconds, and more."""
        if self._answer is None or (self._answer.done() and self._clock() >= self._until):
            self._answer = asyncio.create_task(self._look())
        # Shielded: who asked may go while others wait for the same answer.
        return await asyncio.shield(self._answer)

    async def _look(self) -> dict[str, Any]:
        began = self._clock()
        found: dict[str, Any]
        try:
            async with asyncio.timeout(self._timeout):
                found = {"ok": True, **await self._ask()}
        except TimeoutError:
            found = {"ok": False, "problem": f"no answer within {self._timeout:g} s"}
        except (BinderProgressError, OSError) as error:
            found = {"ok": False, "problem": redact(str(error))[:200]}
        now = self._clock()
        self._until = now + (self._every if found["ok"] else min(self._every, _SOON))
        return {"service": self.service, "latency": round(now - began, 4), **found}
