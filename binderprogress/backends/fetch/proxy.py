"""An HTTP proxy on loopback for one fetch, which connects only to allowed addresses.

All connections go through it: those of git, of submodules, after redirects, and of content
providers. It resolves each name, checks the addresses, and connects to one of the checked ones, so
that the name cannot resolve to another address in between.
"""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

__all__ = ["AddressRefusedError", "FetchProxy"]

_CHUNK = 2**16
_LONGEST_HEAD = 2**16
_HEAD_TIMEOUT = 30.0
_CONNECT_TIMEOUT = 15.0


class AddressRefusedError(Exception):
    """A host may not be connected to.

    Parameters
    ----------
    host : str
        The name of the host in the request.
    why : str
        A relative clause for the message.
    """

    def __init__(self, host: str, why: str) -> None:
        self.host = "".join(filter(str.isprintable, host))[:253]
        super().__init__(f"This server may not connect to {self.host}, {why}.")


class _BadRequestError(Exception):
    """The request is not valid for a proxy."""


class _Request(NamedTuple):
    method: str
    target: str
    fields: list[str]
    host: str
    port: int

    @property
    def is_tunnel(self) -> bool:
        return self.method == "CONNECT"


class FetchProxy:
    """The proxy, which listens within its context.

    It uses the proxy in the environment (``https_proxy`` and so on), if there is one. That one
    resolves names itself. Then only the name is checked here, and its addresses if it can be
    resolved.

    Parameters
    ----------
    check_host : callable
        Raises `AddressRefusedError` for the name of a host that is not allowed.
    resolve : coroutine function
        Returns the addresses of a host and port that may be connected to; or raises
        `AddressRefusedError` or OSError.

    Attributes
    ----------
    refused : AddressRefusedError or None
        The first host that was refused.
    problems : list of str
        Sentences about refused and failed connections.
    """

    def __init__(
        self,
        check_host: Callable[[str], None],
        resolve: Callable[[str, int], Awaitable[list[str]]],
    ) -> None:
        self._check_host = check_host
        self._resolve = resolve
        # Attack: another user of this machine uses the proxy.
        self._token = secrets.token_urlsafe(16)
        self._tasks: set[asyncio.Task[None]] = set()
        self.refused: AddressRefusedError | None = None
        self.problems: list[str] = []

    async def __aenter__(self) -> FetchProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_LONGEST_HEAD)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://fetch:{self._token}@127.0.0.1:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio creates a task for each connection
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # the client has disconnected, or sent no request
        except asyncio.CancelledError:
            return  # the fetch has ended; asyncio would log it as an error
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_TIMEOUT):
            head = await reader.readuntil(b"\r\n\r\n")
        try:
            request = self._read(head.decode("latin-1"))
        except _BadRequestError as error:
            await _answer(writer, "400 Bad Request", str(error))
            return
        if request is None:
            await _answer(writer, "407 Proxy Authentication Required", "")
            return
        try:
            upstream = await self._open(request)
        except AddressRefusedError as error:
            self.refused = self.refused or error
            self.problems.append(str(error))
            await _answer(writer, "403 Forbidden", str(error))
        except (OSError, TimeoutError) as error:
            # The wording of git, which has a reason.
            self.problems.append(f"Failed to connect to {request.host} port {request.port}")
            await _answer(writer, "502 Bad Gateway", f"{type(error).__name__}: {error}")
        else:
            try:
                await _relay(reader, writer, *upstream)
            finally:
                upstream[1].close()

    def _read(self, head: str) -> _Request | None:
        """Parse the request. Return None if it has no valid token."""
        first, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
        expected = f"Basic {b64encode(f'fetch:{self._token}'.encode()).decode()}"
        values = [
            value.strip()
            for name, _, value in (field.partition(":") for field in fields)
            if name.lower() == "proxy-authorization"
        ]
        if len(values) != 1 or not secrets.compare_digest(values[0].encode(), expected.encode()):
            return None
        try:
            method, target, _ = first.split(" ")
            parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise _BadRequestError("The request is not valid.") from None
        if not host or (method != "CONNECT" and parts.scheme != "http"):
            raise _BadRequestError("This is a proxy for http and https.")
        hop = ("proxy-", "connection:", "keep-alive:", "host:")
        kept = [field for field in fields if not field.lower().startswith(hop)]
        return _Request(method, target, kept, host, port or (443 if method == "CONNECT" else 80))

    async def _open(
        self, request: _Request
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
        """Connect. Return the connection, and the first bytes to send to the client."""
        proxy = _operators_proxy(request)
        if proxy is not None:
            return await self._open_through(proxy, request)
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            addresses = await self._resolve(request.host, request.port)
            reader, writer = await _connect(addresses, request.port)
        if request.is_tunnel:
            return reader, writer, b"HTTP/1.1 200 Connection established\r\n\r\n"
        parts = urlsplit(request.target)
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        writer.write(_head(request, target))
        return reader, writer, b""

    async def _open_through(
        self, proxy: SplitResult, request: _Request
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
        self._check_host(request.host)
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            # The name may be known only to that proxy.
            with suppress(OSError):
                await self._resolve(request.host, request.port)
            reader, writer = await asyncio.open_connection(
                proxy.hostname, proxy.port or 80, limit=_LONGEST_HEAD
            )
        login = []
        if proxy.username:
            pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
            login = [f"Proxy-Authorization: Basic {b64encode(pair).decode()}"]
        writer.write(_head(request, request.target, *login))
        # It sends the response, also to CONNECT.
        return reader, writer, b""


async def _connect(
    addresses: list[str], port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    problem: OSError | None = None
    for address in addresses:
        try:
            return await asyncio.open_connection(address, port)
        except OSError as error:
            problem = error
    raise problem or OSError("no address")


def _operators_proxy(request: _Request) -> SplitResult | None:
    """Return the proxy in the environment for a request, if there is one."""
    proxies = getproxies()
    url = proxies.get("https" if request.is_tunnel else "http") or proxies.get("all")
    if not url or proxy_bypass(request.host):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http":
        raise OSError(f"{parts.scheme} proxies are not supported where c.Network restricts.")
    return parts


def _head(request: _Request, target: str, *more: str) -> bytes:
    host = f"[{request.host}]" if ":" in request.host else request.host
    # One request per connection, because the next one may be for another host.
    close = () if request.is_tunnel else ("Connection: close",)
    lines = [
        f"{request.method} {target} HTTP/1.1",
        f"Host: {host}:{request.port}" if request.port != 80 else f"Host: {host}",
        *request.fields,
        *more,
        *close,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _answer(writer: asyncio.StreamWriter, status: str, text: str) -> None:
    body = text.encode()
    asks = 'Proxy-Authenticate: Basic realm="binderprogress"\r\n' if status[:3] == "407" else ""
    writer.write(
        f"HTTP/1.1 {status}\r\n{asks}Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )
    await writer.drain()


async def _relay(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    upstream_reader: asyncio.StreamReader,
    upstream_writer: asyncio.StreamWriter,
    first: bytes,
) -> None:
    """Forward bytes in both directions until both have ended."""
    writer.write(first)
    async with asyncio.TaskGroup() as group:
        group.create_task(_pump(reader, upstream_writer))
        group.create_task(_pump(upstream_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        # One direction is broken, so the other one is closed, too.
        writer.close()
