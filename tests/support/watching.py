"""Viewers that follow launches to their end, whatever happens to their connections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import aiohttp

from binderprogress.core.events import decode
from binderprogress.core.sse import Decoder

from .invariants import View

__all__ = ["SILENCE", "Watcher"]

SILENCE = 35.0
"""Seconds without data after which pages give a connection up."""


class Watcher:
    """Follows a launch.

    Parameters
    ----------
    session : ClientSession
    url : str
        The address of the events.
    view : View
        Gets what it sees.
    pause : float
        Mean seconds before it tries again. Pages begin with 1 s, and double it.
    silence : float
        Seconds without data after which a connection is given up.
    connected : callable
        Called when the server has begun to answer.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        view: View,
        *,
        pause: float = 0.5,
        silence: float = SILENCE,
        connected: Callable[[], object] = lambda: None,
    ) -> None:
        self.view = view
        self.is_connected = False
        self.problem = ""
        """Why it gave up."""
        self._session = session
        self._url = url
        self._pause = pause
        self._silence = silence
        self._connected = connected

    async def run(self) -> None:
        """Follow it to the end, over as many connections as it takes."""
        while not self.problem:
            try:
                if await self._follow():
                    return
            except (aiohttp.ClientError, TimeoutError):
                pass  # it tries again, as long as it takes
            finally:
                self.is_connected = False
            await asyncio.sleep(random.uniform(0.5, 1.5) * self._pause)  # noqa: S311 - no secret

    async def _follow(self) -> bool:
        """Follow it over one connection. Return whether it has ended."""
        last = str(self.view.last)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=self._silence)
        async with self._session.get(
            self._url, headers={"Last-Event-ID": last}, timeout=timeout
        ) as response:
            if response.status == 404:
                self.problem = f"{self.view.name}: {await response.text()}"
                return False
            if response.status != 200:
                return False
            self.is_connected = True
            self._connected()
            connection = self.view.connect()
            decoder = Decoder(last_event_id=last)
            async for chunk in response.content.iter_any():
                for event in decoder.feed(chunk):
                    data = event.data.encode()
                    connection.events.append((int(event.id), data))
                    if decode(data).terminal:
                        return True
        return False
