"""An HTTP proxy on loopback, for one fetch, that connects only to what is allowed.

git, its submodules, redirects, and what content providers download all go through it. It resolves
each name, checks the addresses, and connects to one of those that it has checked: there is no
moment in which the name could come to mean another address.
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
    """A host that may not be connected to.

    Parameters
    ----------
    host : str
        As it was named.
    why : str
        A relative clause.
    """

    def __init__(self, host: str, why: str) -> None:
        self.host = "".join(filter(str.isprintable, host))[:253]
        super().__init__(f"This server may not connect to {self.host}, {why}.")


class _BadRequestError(Exception):
    """What was sent is not a request to a proxy."""


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
    """The proxy; it listens while its context is entered.

    A proxy that the environment names (``https_proxy`` and so on) is asked in turn. Then that one
    resolves names: here only the name is checked, and its addresses if they can be found out.

    Parameters
    ----------
    check_host : callable
        Raises `AddressRefusedError` for a host that is refused by its name.
    resolve : coroutine function
        Returns the addresses of a host and port that may be connected to; or raises
        `AddressRefusedError` or OSError.

    Attributes
    ----------
    refused : AddressRefusedError or None
        The first that was.
    problems : list of str
        Sentences about connections that were refused or could not be made.
    """

    def __init__(
        self,
        check_host: Callable[[str], None],
        resolve: Callable[[str, int], Awaitable[list[str]]],
    ) -> None:
        self._check_host = check_host
        self._resolve = resolve
        # Attack: another user of this machine takes it for a proxy of theirs.
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
        assert task is not None  # noqa: S101 - asyncio makes one for each connection
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # the client has gone, or never said what it wants
        except asyncio.CancelledError:
            return  # the fetch has ended; asyncio would log this as an error
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
            # In git's words, which are recognised.
            self.problems.append(f"Failed to connect to {request.host} port {request.port}")
            await _answer(writer, "502 Bad Gateway", f"{type(error).__name__}: {error}")
        else:
            try:
                await _relay(reader, writer, *upstream)
            finally:
                upstream[1].close()

    def _read(self, head: str) -> _Request | None:
        """Return the request; or nothing if it does not come from those that this proxy is for."""
        first, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
        expected = f"Basic {b64encode(f'fetch:{self._token}'.encode()).decode()}"
        values = [
            value.strip()
            for name, _, value in (one.partition(":") for one in fields)
            if name.lower() == "proxy-authorization"
        ]
        if len(values) != 1 or not secrets.compare_digest(values[0].encode(), expected.encode()):
            return None
        try:
            method, target, _ = first.split(" ")
            parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise _BadRequestError("This is not understood.") from None
        if not host or (method != "CONNECT" and parts.scheme != "http"):
            raise _BadRequestError("This is a proxy for http and https.")
        hop = ("proxy-", "connection:", "keep-alive:", "host:")
        kept = [one for one in fields if not one.lower().startswith(hop)]
        return _Request(method, target, kept, host, port or (443 if method == "CONNECT" else 80))

    async def _open(
        self, request: _Request
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
        """Connect; return the connection and what its client is sent first."""
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
            # Perhaps only that proxy knows the name.
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
        # It answers to CONNECT, and to all else, for itself.
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
    """Return the proxy that the environment names for a request, if it names one."""
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
    # One request each: the next one may be for another host.
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
    there: asyncio.StreamReader,
    back: asyncio.StreamWriter,
    first: bytes,
) -> None:
    """Pass bytes on in both directions until one side has ended and the other has been told."""
    writer.write(first)
    async with asyncio.TaskGroup() as group:
        group.create_task(_pump(reader, back))
        group.create_task(_pump(there, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        # One direction is broken: the other side has nothing to wait for.
        writer.close()
