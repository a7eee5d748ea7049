"""Turns of launches that are taken up again, so that JupyterHub is not asked for all at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["MOST_AT_ONCE", "Turns"]

MOST_AT_ONCE = 8
"""Maximum number of launches that ask for their servers at the same time after a restart."""

_PATIENCE = 5.0
"""Seconds after which the next launch may ask although JupyterHub has not answered yet."""


class Turn:
    """The turn of one launch."""

    def __init__(self, slots: asyncio.Semaphore, patience: float) -> None:
        self._slots = slots
        self._timer = asyncio.get_running_loop().call_later(patience, self.end)
        self._is_over = False

    def end(self) -> None:
        """Let the next launch take its turn, unless this one is over."""
        if not self._is_over:
            self._is_over = True
            self._timer.cancel()
            self._slots.release()


class Turns:
    """Lets only a few launches ask at the same time.

    Parameters
    ----------
    most : int
    patience : float, optional
        Seconds after which a turn is over, whatever happens.
    """

    def __init__(self, most: int, *, patience: float = _PATIENCE) -> None:
        self._slots = asyncio.Semaphore(most)
        self._patience = patience

    @asynccontextmanager
    async def take(self) -> AsyncIterator[Turn]:
        """Wait for a turn. It is over with the context, if it was not ended earlier."""
        await self._slots.acquire()
        turn = Turn(self._slots, self._patience)
        try:
            yield turn
        finally:
            turn.end()
