"""The API of a binderprogress server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from urllib.parse import quote, urlencode

import aiohttp

from .._responses import read_text
from ..core import sse
from ..core.events import Event, decode
from ..errors import ServerUnreachableError, StreamError
from .http_client import JITTER, LONGEST_LOG, LONGEST_RESPONSE, HttpClient
from .models import ImageStatus, LaunchHandle, LaunchSnapshot, LogLines, LogMatches, LogTimes

__all__ = ["BinderProgressApi"]

# The server sends a keepalive every 15 s.
_IDLE = 60.0

_LONGEST_RETRY = 60.0
"""Maximum seconds before it reconnects, whatever the server asks for."""


class BinderProgressApi:
    """The API of a binderprogress server.

    Parameters
    ----------
    http : HttpClient
        Sends the requests.
    pauses : sequence of float
        Seconds to wait before each attempt to reconnect.
    """

    def __init__(self, http: HttpClient, pauses: Sequence[float]) -> None:
        self._http = http
        self._pauses = tuple(pauses)

    async def start(self, request: dict[str, str], *, build_only: bool = False) -> LaunchHandle:
        """Start a launch, or only its build.

        `request` is the body of ``POST /api/launches`` and ``POST /api/builds``.
        """
        path = "api/builds" if build_only else "api/launches"
        text = await self._http.request("POST", path, request)
        return self._http.read(text, LaunchHandle)

    async def image(self, spec: str) -> ImageStatus:
        """Return whether the environment of a spec is built."""
        text = await self._http.request("GET", f"api/images/{spec}")
        return self._http.read(text, ImageStatus)

    async def watch(self, launch_id: str, after: int) -> AsyncGenerator[Event, None]:
        """Iterate over the events of a launch; see `AsyncClient.watch`."""
        failures = 0
        while True:
            problem, asked = "it was closed early", None
            decoder = sse.Decoder(last_event_id=str(after or ""))
            path = _path(launch_id, "/events")
            try:
                async with aclosing(self._stream(path, after, decoder)) as events:
                    async for event in events:
                        after, failures = event.id, 0
                        yield event
                        if event.terminal:
                            return
                # A server that is being stopped ends the stream, and says when to come again.
                asked = decoder.retry
            except (aiohttp.ClientError, TimeoutError, StreamError, _TryAgainError) as error:
                problem = str(error) or type(error).__name__
            if failures == len(self._pauses):
                raise ServerUnreachableError(
                    f"Lost the connection to {self._http.server}, and could not reconnect: "
                    f"{problem}"
                )
            pause = self._pauses[failures]
            if asked is not None:
                pause = min(asked / 1000, _LONGEST_RETRY)
            failures += 1
            await asyncio.sleep(pause * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - no secret

    async def state(self, launch_id: str) -> LaunchSnapshot:
        """Return the state of a launch."""
        text = await self._http.request("GET", _path(launch_id))
        return self._http.read(text, LaunchSnapshot)

    async def log(self, launch_id: str) -> str:
        """Return the log so far."""
        return await self._http.request("GET", _path(launch_id, "/log"), limit=LONGEST_LOG)

    async def log_lines(self, launch_id: str, first: int, count: int) -> LogLines:
        """Return lines of the log so far."""
        query = urlencode({"first": first, "count": count})
        text = await self._http.request("GET", _path(launch_id, f"/log/lines?{query}"))
        return self._http.read(text, LogLines)

    async def search_log(self, launch_id: str, text: str, first: int) -> LogMatches:
        """Return the numbers of lines of the log that have a text."""
        query = urlencode({"q": text, "first": first})
        answer = await self._http.request("GET", _path(launch_id, f"/log/search?{query}"))
        return self._http.read(answer, LogMatches)

    async def log_times(self, launch_id: str) -> LogTimes:
        """Return when lines of the log so far were written."""
        answer = await self._http.request("GET", _path(launch_id, "/log/times"))
        return self._http.read(answer, LogTimes)

    async def cancel(self, launch_id: str) -> None:
        """Cancel a launch."""
        await self._http.request("DELETE", _path(launch_id))

    async def _stream(
        self, path: str, after: int, decoder: sse.Decoder
    ) -> AsyncGenerator[Event, None]:
        """Iterate over the events of one connection, after the number `after`."""
        http = self._http
        headers = {"Accept": "text/event-stream"}
        if after:
            headers["Last-Event-ID"] = str(after)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=http.timeout, sock_read=_IDLE)
        async with http.session().get(http.url(path), headers=headers, timeout=timeout) as response:
            if response.status != 200:
                text = await read_text(response, LONGEST_RESPONSE)
                error = http.error_from(response.status, text, response.headers)
                if response.status < 500 and response.status != 429:
                    raise error
                raise _TryAgainError(str(error))
            if response.content_type != "text/event-stream":
                raise http.unknown_server(response.status)
            async for chunk in response.content.iter_any():
                for block in decoder.feed(chunk):
                    event = decode(block.data)
                    if event.id > after:
                        after = event.id
                        yield event


class _TryAgainError(Exception):
    """A temporary error response. The launch may still be in progress."""


def _path(launch_id: str, more: str = "") -> str:
    return f"api/launches/{quote(launch_id, safe='')}{more}"
