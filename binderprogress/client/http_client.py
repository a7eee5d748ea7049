"""Send requests to one server, and turn error responses into exceptions."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, TypeVar

import aiohttp
import msgspec

from .._responses import read_text
from ..core.printable import plain
from ..core.redact import redact, split_credentials
from ..errors import (
    BadRequestError,
    BinderProgressError,
    NotFoundError,
    RefusedError,
    ServerUnreachableError,
    StreamError,
    TooManyRequestsError,
)
from .addresses import is_loopback

__all__ = ["JITTER", "LONGEST_LOG", "LONGEST_RESPONSE", "HttpClient", "retry_after"]

LONGEST_RESPONSE = 16 * 2**20
"""Maximum size of a response, in bytes. A notebook with images may have several MiB."""

LONGEST_LOG = 2**30
"""Maximum size of a log, in bytes. A server keeps up to 256 Mi characters of each log."""

JITTER = 0.25
"""Pauses vary by this fraction, so that clients do not all reconnect at the same time."""

_T = TypeVar("_T")


class HttpClient:
    """An HTTP client for one server.

    Parameters
    ----------
    server : str
        URL of the server. It may contain a user name and a password, which are sent to this server
        only.
    token : str
        Token for the server; empty if it needs none.
    timeout : float
        Maximum time for a response, in seconds.
    """

    def __init__(self, server: str, *, token: str, timeout: float) -> None:
        # `self.server` is shown in error messages, so it must not contain the password.
        server, user, password = split_credentials(server)
        self.server = server.rstrip("/")
        self._authorization = f"token {token}" if token else ""
        if not token and (user or password):
            credentials = b64encode(f"{user}:{password}".encode()).decode()
            self._authorization = f"Basic {credentials}"
        self.token = token
        self.timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def close(self) -> None:
        """Close all connections. The client cannot be used again."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    def url(self, path: str) -> str:
        """Return the URL of a path on the server."""
        # URLs in responses are not used: behind a proxy, the server may not know its own URL.
        return f"{self.server}/{path}"

    def session(self) -> aiohttp.ClientSession:
        """Return the session for requests to this server.

        Raises
        ------
        RuntimeError
            If the client is closed.
        """
        if self._closed:
            raise RuntimeError("This client is closed.")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self.timeout),
                # aiohttp does not send it to other hosts after a redirect.
                headers={"Authorization": self._authorization} if self._authorization else None,
                trust_env=not is_loopback(self.server),
            )
        return self._session

    async def request(
        self, method: str, path: str, body: Any = None, *, limit: int = LONGEST_RESPONSE
    ) -> str:
        """Send a request, and return the body of the response.

        Parameters
        ----------
        method, path : str
            The path is relative to the server's URL.
        body : object, optional
            Sent as JSON.
        limit : int
            Maximum size of the response, in bytes.

        Raises
        ------
        ServerUnreachableError
            If the server does not respond, or is not a binderprogress server.
        BinderProgressError
            If the response is an error, with its message.
        """
        text, _ = await self.exchange(method, path, body, limit=limit)
        return text

    async def exchange(
        self, method: str, path: str, body: Any = None, *, limit: int = LONGEST_RESPONSE
    ) -> tuple[str, Mapping[str, str]]:
        """Send a request, and return the body and the headers of the response; see `request`."""
        try:
            async with self.session().request(method, self.url(path), json=body) as response:
                text = await read_text(response, limit)
                if response.status < 400:
                    return text, response.headers
                raise self.error_from(response.status, text, response.headers)
        except (aiohttp.ClientError, TimeoutError, ValueError, StreamError) as error:
            raise self.unreachable(error) from error

    def read(self, text: str, kind: type[_T]) -> _T:
        """Decode a JSON response.

        Raises
        ------
        ServerUnreachableError
            If it does not have the expected type.
        """
        try:
            return msgspec.json.decode(text, type=kind)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise self.unknown_server(200) from error

    # -- errors

    def unreachable(self, error: Exception) -> ServerUnreachableError:
        """Return the error for a server that does not respond."""
        return ServerUnreachableError(
            f"Cannot reach the server {self.server}. Check that its URL is correct and that it is "
            f"running. ({redact(str(error)) or type(error).__name__})"
        )

    def unknown_server(self, status: int) -> ServerUnreachableError:
        """Return the error for a server that is neither binderprogress nor BinderHub."""
        return ServerUnreachableError(
            f"{self.server} is neither a binderprogress server nor a BinderHub (status {status})."
        )

    def error_from(self, status: int, text: str, headers: Mapping[str, str]) -> BinderProgressError:
        """Return the error that an error response of a binderprogress server describes."""
        try:
            message = msgspec.json.decode(text, type=_Refusal).error.message
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self.unknown_server(status)
        # The message may be printed to a terminal, and the server is not trusted.
        message = plain(message)
        if status == 429:
            return TooManyRequestsError(message, retry_after=retry_after(headers))
        for kind in (BadRequestError, RefusedError, NotFoundError):
            if status == kind.status:
                return kind(message)
        return BinderProgressError(message)


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the number of seconds in a Retry-After header; 60 if there is none."""
    seconds = headers.get("Retry-After", "")
    return float(seconds) if seconds.isdecimal() and seconds.isascii() else 60.0


class _Problem(msgspec.Struct):
    message: str


class _Refusal(msgspec.Struct):
    error: _Problem
