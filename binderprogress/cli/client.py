"""Speaking to a binderprogress server: start, follow, cancel."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from ..core.events import Event, decode
from ..core.reasons import plain
from ..errors import (
    BadRequestError,
    BinderProgressError,
    NotFoundError,
    RefusedError,
    ServerUnreachableError,
    TooManyRequestsError,
)

__all__ = ["Client"]

# A line of the log may be long; so may its event be.
_MAX_MESSAGE = 4 * 2**20
# In a row; with the pauses between them, a server may be away for half a minute.
_RECONNECTS = 12


class Client:
    """One server.

    Parameters
    ----------
    server : str
        Its address.
    """

    def __init__(self, server: str) -> None:
        self._server = server.rstrip("/")
        # $HTTPS_PROXY is for the world outside.
        self._is_near = _host(server) in {"localhost", "127.0.0.1", "::1"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=30), trust_env=not self._is_near
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def start(self, spec: str) -> dict[str, str]:
        """Start a launch and return its links.

        Raises
        ------
        ServerUnreachableError
            If no binderprogress server answers.
        BinderProgressError
            If it refuses, with its sentence.
        """
        answer = await self._request("POST", f"{self._server}/api/launches", {"spec": spec})
        links = {key: str(value) for key, value in answer.items()}
        if not {"id", "state_url", "socket_url"} <= links.keys():
            raise ServerUnreachableError(f"What answers at {self._server} is no binderprogress.")
        return links

    async def cancel(self, links: dict[str, str]) -> None:
        """Cancel a launch."""
        await self._request("DELETE", links["state_url"])

    async def follow(self, links: dict[str, str]) -> AsyncIterator[tuple[Event, str]]:
        """Iterate over the events of a launch and their JSON, over as many connections as needed.

        Raises
        ------
        ServerUnreachableError
            If the server is gone for good.
        """
        last, failures = 0, 0
        while True:
            try:
                url = f"{links['socket_url']}?after={last}"
                async with connect(
                    url,
                    max_size=_MAX_MESSAGE,
                    open_timeout=10,
                    proxy=None if self._is_near else True,
                ) as socket:
                    async for message in socket:
                        event = decode(message)
                        failures = 0
                        if event.id > last:
                            last = event.id
                            yield event, message if isinstance(message, str) else message.decode()
                        if event.terminal:
                            return
                problem = "it was closed early"
            except InvalidStatus as error:
                if error.response.status_code < 500:
                    raise ServerUnreachableError(
                        f"{self._server} knows nothing of this launch any more."
                    ) from error
                problem = str(error)
            except (OSError, TimeoutError, WebSocketException) as error:
                problem = str(error) or type(error).__name__
            failures += 1
            if failures > _RECONNECTS:
                raise ServerUnreachableError(
                    f"The connection to {self._server} was lost for good: {problem}"
                )
            await asyncio.sleep(min(0.1 * 2**failures, 3.0))

    async def _request(self, method: str, url: str, body: Any = None) -> dict[str, Any]:
        assert self._session is not None  # noqa: S101 - inside the context
        try:
            async with self._session.request(method, url, json=body) as response:
                text = await response.text()
                status, retry_after = response.status, response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ServerUnreachableError(
                f"No binderprogress server answers at {self._server}. Is it running, and is the "
                f"address right? ({error or type(error).__name__})"
            ) from error
        try:
            answer = json.loads(text)
            error_message = answer["error"]["message"] if status >= 400 else ""
        except (ValueError, KeyError, TypeError) as error:
            raise ServerUnreachableError(
                f"What answers at {self._server} is no binderprogress (status {status})."
            ) from error
        if error_message:
            raise _error(status, str(error_message), retry_after)
        if not isinstance(answer, dict):
            raise ServerUnreachableError(f"What answers at {self._server} is no binderprogress.")
        return answer


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None  # no address; said where it is used


def _error(status: int, message: str, retry_after: str) -> BinderProgressError:
    # It is printed, and whose server that is nobody knows.
    message = plain(message)
    if status == 429:
        seconds = float(retry_after) if retry_after.isdigit() else 60.0
        return TooManyRequestsError(message, retry_after=seconds)
    for kind in (BadRequestError, RefusedError, NotFoundError):
        if status == kind.status:
            return kind(message)
    return BinderProgressError(message)
