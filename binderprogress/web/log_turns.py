"""Lets a few requests at a time read logs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..errors import TooManyRequestsError

__all__ = ["LogTurns"]

_AT_ONCE = 2
"""How many logs are read at the same time, by the threads of all requests."""

_MAX_WAITING = 8
"""How many requests of one client are read or wait for that."""


class LogTurns:
    """Lets a few requests at a time read logs.

    Attack: searches for a text that is in no line of the longest log. Each ends after half a
    second, and others have their turn.
    """

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting: Counter[str] = Counter()

    @asynccontextmanager
    async def take(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn.

        Raises
        ------
        TooManyRequestsError
            If too many requests of this client wait already.
        """
        if self._waiting[client] >= _MAX_WAITING:
            raise TooManyRequestsError(
                "You are reading too many parts of logs at once.", retry_after=1.0
            )
        self._waiting[client] += 1
        try:
            async with self._turns:
                yield
        finally:
            self._waiting[client] -= 1
            if not self._waiting[client]:
                del self._waiting[client]
