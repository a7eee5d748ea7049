"""Launches on a binderprogress server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from urllib.parse import quote

import aiohttp

from .._responses import read_text
from ..core import sse
from ..core.events import Event, decode
from ..errors import ServerUnreachableError, StreamError
from .connection import JITTER, LONGEST_LOG, LONGEST_RESPONSE, Connection
from .models import Launch, LaunchState

__all__ = ["Api"]

# The server says something every 15 s, if only that it is there.
_IDLE = 60.0


class Api:
    """A binderprogress server, by its API.

    Parameters
    ----------
    connection : Connection
    pauses : sequence of float
        Seconds before each try to connect again.
    """

    def __init__(self, connection: Connection, pauses: Sequence[float]) -> None:
        self._connection = connection
        self._pauses = tuple(pauses)

    async def start(self, request: dict[str, str]) -> Launch:
        """Start a launch; see `binderprogress.web.api.StartRequest` for the request."""
        text = await self._connection.request("POST", "api/launches", request)
        return self._connection.read(text, Launch)

    async def watch(self, launch_id: str, after: int) -> AsyncGenerator[Event, None]:
        """Iterate over the events of a launch; see `AsyncClient.watch`."""
        failures = 0
        while True:
            problem = "it was closed early"
            try:
                async with aclosing(self._stream(_path(launch_id, "/events"), after)) as events:
                    async for event in events:
                        after, failures = event.id, 0
                        yield event
                        if event.terminal:
                            return
            except (aiohttp.ClientError, TimeoutError, StreamError, _TryAgainError) as error:
                problem = str(error) or type(error).__name__
            if failures == len(self._pauses):
                raise ServerUnreachableError(
                    f"The connection to {self._connection.server} was lost for good: {problem}"
                )
            pause = self._pauses[failures]
            failures += 1
            await asyncio.sleep(pause * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - no secret

    async def state(self, launch_id: str) -> LaunchState:
        """Say how a launch stands."""
        text = await self._connection.request("GET", _path(launch_id))
        return self._connection.read(text, LaunchState)

    async def log(self, launch_id: str) -> str:
        """Return the whole log so far."""
        return await self._connection.request("GET", _path(launch_id, "/log"), limit=LONGEST_LOG)

    async def cancel(self, launch_id: str) -> None:
        """Cancel a launch."""
        await self._connection.request("DELETE", _path(launch_id))

    async def _stream(self, path: str, after: int) -> AsyncGenerator[Event, None]:
        """Read one connection's worth of events, from the number after `after`."""
        connection = self._connection
        headers = {"Accept": "text/event-stream"}
        if after:
            headers["Last-Event-ID"] = str(after)
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=connection.timeout, sock_read=_IDLE
        )
        async with connection.session().get(
            connection.url(path), headers=headers, timeout=timeout
        ) as response:
            if response.status != 200:
                text = await read_text(response, LONGEST_RESPONSE)
                error = connection.error(response.status, text, response.headers)
                if response.status < 500 and response.status != 429:
                    raise error
                raise _TryAgainError(str(error))
            if response.content_type != "text/event-stream":
                raise connection.stranger(response.status)
            decoder = sse.Decoder(last_event_id=str(after or ""))
            async for chunk in response.content.iter_any():
                for block in decoder.feed(chunk):
                    event = decode(block.data)
                    if event.id > after:
                        after = event.id
                        yield event


class _TryAgainError(Exception):
    """The server is in trouble, or busy; the launch may go on all the same."""


def _path(launch_id: str, more: str = "") -> str:
    return f"api/launches/{quote(launch_id, safe='')}{more}"
