"""The client, for programs with an event loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from ..core import sse
from ..core.events import Event, decode
from ..core.reasons import plain
from ..errors import (
    BadRequestError,
    BinderProgressError,
    NotFoundError,
    RefusedError,
    ServerUnreachableError,
    StreamError,
    TooManyRequestsError,
)
from .addresses import is_near
from .models import Launch, LaunchState, Server, read_spec, served

__all__ = ["PAUSES", "AsyncClient"]

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before each try to connect again; with the last one it is given up."""

# Of a pause, to either side: clients that were cut together do not come back together.
_JITTER = 0.25
# The server says something every 15 s, if only that it is there.
_IDLE = 60.0
# A launch that nobody waits for is cancelled politely, but not at any price.
_CANCEL_TIMEOUT = 2.0

_T = TypeVar("_T")


class AsyncClient:
    """One server.

    Parameters
    ----------
    server : str
        Its address.
    token : str
        What it wants to see, if it stands behind a Hub's login; sent to it only.
    pauses : sequence of float
        Seconds before each try to connect again.
    timeout : float
        Seconds that an answer may take; a stream takes as long as its launch.
    """

    def __init__(
        self,
        server: str,
        *,
        token: str = "",
        pauses: Sequence[float] = PAUSES,
        timeout: float = 30.0,
    ) -> None:
        self.server = server.rstrip("/")
        self._token = token
        self._pauses = tuple(pauses)
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. Launches go on as long as somebody watches them."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    # -- what it does

    async def start(self, repository: str, ref: str = "") -> Launch:
        """Start a launch.

        Parameters
        ----------
        repository : str
            A spec, as ``gh/binder-examples/requirements/HEAD``, or an address that git clones.
        ref : str
            Branch, tag or commit; by default the spec's, or the default branch.

        Raises
        ------
        SpecError
            If the repository is not understood.
        ServerUnreachableError
            If no binderprogress server answers. It is not tried again: the launch may have begun.
        BinderProgressError
            If the server refuses, with its sentence.
        """
        body = {"spec": str(read_spec(repository, ref))}
        return self._read(await self._request("POST", "api/launches", body), Launch)

    async def watch(self, launch: Launch | str, *, after: int = 0) -> AsyncGenerator[Event, None]:
        """Iterate over the events of a launch, to its end, over as many connections as it takes.

        Each event comes once, in order; the last one is `ready`, `failed` or `cancelled`.

        Parameters
        ----------
        launch : Launch or str
            What `start` returned, or its id.
        after : int
            The number of the last event that is had already.

        Raises
        ------
        NotFoundError
            If the server knows nothing of this launch, or has forgotten it.
        ServerUnreachableError
            If it cannot be reached again.
        """
        failures = 0
        while True:
            problem = "it was closed early"
            try:
                async with aclosing(self._stream(_path(launch, "/events"), after)) as events:
                    async for event in events:
                        after, failures = event.id, 0
                        yield event
                        if event.terminal:
                            return
            except (aiohttp.ClientError, TimeoutError, StreamError, _TryAgainError) as error:
                problem = str(error) or type(error).__name__
            if failures == len(self._pauses):
                raise ServerUnreachableError(
                    f"The connection to {self.server} was lost for good: {problem}"
                )
            pause = self._pauses[failures]
            failures += 1
            await asyncio.sleep(pause * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - no secret

    async def state(self, launch: Launch | str) -> LaunchState:
        """Say how a launch stands."""
        return self._read(await self._request("GET", _path(launch)), LaunchState)

    async def log(self, launch: Launch | str) -> str:
        """Return the whole log so far.

        It is what the build printed: do not write it to a terminal as it is.
        """
        return await self._request("GET", _path(launch, "/log"))

    async def cancel(self, launch: Launch | str) -> None:
        """Cancel a launch. A server that is ready already goes on."""
        await self._request("DELETE", _path(launch))

    async def launch(
        self, repository: str, ref: str = "", *, on_event: Callable[[Event], None] | None = None
    ) -> Server:
        """Start a launch and wait for its server. If the waiting is cancelled, so is the launch.

        Parameters
        ----------
        repository, ref : str
            As for `start`.
        on_event : callable, optional
            Gets each event as it comes.

        Raises
        ------
        LaunchFailedError
            If there is no server at its end: with reason, advice and evidence.
        BinderProgressError
            As `start` and `watch` do.
        """
        launch = await self.start(repository, ref)
        last: Event | None = None
        try:
            async with aclosing(self.watch(launch)) as events:
                async for last in events:
                    if on_event is not None:
                        on_event(last)
        except BaseException:
            if last is None or not last.terminal:
                await self._leave(launch)
            raise
        assert last is not None  # noqa: S101 - `watch` ends with the last event, or raises
        return served(last)

    async def _leave(self, launch: Launch) -> None:
        try:
            async with asyncio.timeout(_CANCEL_TIMEOUT):
                await self.cancel(launch)
        except (BinderProgressError, TimeoutError):
            return  # the server cancels a launch that nobody watches

    # -- over the wire

    async def _stream(self, path: str, after: int) -> AsyncGenerator[Event, None]:
        """Read one connection's worth of events, from the number after `after`."""
        headers = {"Accept": "text/event-stream"}
        if after:
            headers["Last-Event-ID"] = str(after)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=_IDLE)
        async with self._open().get(self._url(path), headers=headers, timeout=timeout) as response:
            if response.status != 200:
                error = self._error(response.status, await response.text(), response.headers)
                if response.status < 500 and response.status != 429:
                    raise error
                raise _TryAgainError(str(error))
            if response.content_type != "text/event-stream":
                raise self._stranger(response.status)
            decoder = sse.Decoder(last_event_id=str(after or ""))
            async for chunk in response.content.iter_any():
                for block in decoder.feed(chunk):
                    event = decode(block.data)
                    if event.id > after:
                        after = event.id
                        yield event

    async def _request(self, method: str, path: str, body: Any = None) -> str:
        try:
            async with self._open().request(method, self._url(path), json=body) as response:
                text = await response.text(errors="replace")
                if response.status < 400:
                    return text
                raise self._error(response.status, text, response.headers)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ServerUnreachableError(
                f"No binderprogress server answers at {self.server}. Is it running, and is the "
                f"address right? ({error or type(error).__name__})"
            ) from error

    def _read(self, text: str, kind: type[_T]) -> _T:
        try:
            return msgspec.json.decode(text, type=kind)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise self._stranger(200) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                headers={"Authorization": f"token {self._token}"} if self._token else None,
                trust_env=not is_near(self.server),
            )
        return self._session

    def _url(self, path: str) -> str:
        # Not the addresses that the server names: behind a proxy it may not know its own.
        return f"{self.server}/{path}"

    def _stranger(self, status: int) -> ServerUnreachableError:
        return ServerUnreachableError(
            f"What answers at {self.server} is no binderprogress (status {status})."
        )

    def _error(self, status: int, text: str, headers: Mapping[str, str]) -> BinderProgressError:
        try:
            message = msgspec.json.decode(text, type=_Refusal).error.message
        except (msgspec.DecodeError, UnicodeError):
            return self._stranger(status)
        # It is printed, and whose server that is nobody knows.
        message = plain(message)
        if status == 429:
            seconds = headers.get("Retry-After", "")
            return TooManyRequestsError(
                message, retry_after=float(seconds) if seconds.isdigit() else 60.0
            )
        for kind in (BadRequestError, RefusedError, NotFoundError):
            if status == kind.status:
                return kind(message)
        return BinderProgressError(message)


class _Problem(msgspec.Struct):
    message: str


class _Refusal(msgspec.Struct):
    error: _Problem


class _TryAgainError(Exception):
    """The server is in trouble, or busy; the launch may go on all the same."""


def _path(launch: Launch | str, more: str = "") -> str:
    launch_id = launch if isinstance(launch, str) else launch.id
    return f"api/launches/{quote(launch_id, safe='')}{more}"
