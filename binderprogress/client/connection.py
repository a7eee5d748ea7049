"""Requests to one server, and what its answers mean."""

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
from .addresses import is_near

__all__ = ["JITTER", "LONGEST_LOG", "LONGEST_RESPONSE", "Connection", "retry_after"]

LONGEST_RESPONSE = 16 * 2**20
"""Maximum size of a response, in bytes. A notebook with images may have several MiB."""

LONGEST_LOG = 2**30
"""Maximum size of a log, in bytes. A server keeps up to 256 Mi characters of each log."""

JITTER = 0.25
"""Of a pause, to either side: clients that were cut together do not come back together."""

_T = TypeVar("_T")


class Connection:
    """What requests to one server have in common.

    Parameters
    ----------
    server : str
        Its address; it may have a user and a password, which are sent to it only.
    token : str
        What it wants to see; empty if nothing.
    timeout : float
        Seconds that an answer may take.
    """

    def __init__(self, server: str, *, token: str, timeout: float) -> None:
        # Both would be shown: in errors, and by whoever shows where it is connected to.
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
        """Close all connections, for good."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    def url(self, path: str) -> str:
        """Return the address of a path below the server's."""
        # Not the addresses that the server names: behind a proxy it may not know its own.
        return f"{self.server}/{path}"

    def session(self) -> aiohttp.ClientSession:
        """Return what connections are made with.

        Raises
        ------
        RuntimeError
            If the connections were closed.
        """
        if self._closed:
            raise RuntimeError("This client is closed.")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self.timeout),
                # aiohttp leaves it out where it is sent on to another host.
                headers={"Authorization": self._authorization} if self._authorization else None,
                trust_env=not is_near(self.server),
            )
        return self._session

    async def request(
        self, method: str, path: str, body: Any = None, *, limit: int = LONGEST_RESPONSE
    ) -> str:
        """Send a request and return the text of its answer.

        Raises
        ------
        ServerUnreachableError
            If nothing answers, or not what we know.
        BinderProgressError
            If the server refuses, with its sentence.
        """
        try:
            async with self.session().request(method, self.url(path), json=body) as response:
                text = await read_text(response, limit)
                if response.status < 400:
                    return text
                raise self.error(response.status, text, response.headers)
        except (aiohttp.ClientError, TimeoutError, ValueError, StreamError) as error:
            raise self.silent(error) from error

    def read(self, text: str, kind: type[_T]) -> _T:
        """Read an answer."""
        try:
            return msgspec.json.decode(text, type=kind)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise self.stranger(200) from error

    # -- what went wrong

    def silent(self, error: Exception) -> ServerUnreachableError:
        """Return the error for a server that does not answer."""
        return ServerUnreachableError(
            f"No binderprogress server and no BinderHub answers at {self.server}. Is it running, "
            f"and is the address right? ({redact(str(error)) or type(error).__name__})"
        )

    def stranger(self, status: int) -> ServerUnreachableError:
        """Return the error for an answer that is not of a server that we know."""
        return ServerUnreachableError(
            f"What answers at {self.server} is no binderprogress server and no BinderHub "
            f"(status {status})."
        )

    def error(self, status: int, text: str, headers: Mapping[str, str]) -> BinderProgressError:
        """Return the error that a binderprogress server's answer stands for."""
        try:
            message = msgspec.json.decode(text, type=_Refusal).error.message
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return self.stranger(status)
        # It is printed, and whose server that is nobody knows.
        message = plain(message)
        if status == 429:
            return TooManyRequestsError(message, retry_after=retry_after(headers))
        for kind in (BadRequestError, RefusedError, NotFoundError):
            if status == kind.status:
                return kind(message)
        return BinderProgressError(message)


def retry_after(headers: Mapping[str, str]) -> float:
    """Return after how many seconds a server wants to be asked again."""
    seconds = headers.get("Retry-After", "")
    return float(seconds) if seconds.isdecimal() and seconds.isascii() else 60.0


class _Problem(msgspec.Struct):
    message: str


class _Refusal(msgspec.Struct):
    error: _Problem
