"""HTTP, event stream, WebSocket and raw socket clients for tests."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders
from tornado.web import Application
from tornado.websocket import WebSocketClientConnection, websocket_connect
from yarl import URL

from binderprogress.core.specs import Spec

from ..launches.parts import WITHIN

JSON = {"Content-Type": "application/json"}
_ID = re.compile(rb"(?m)^id: (.+)$")


class Stream:
    """One connection that reads server-sent events."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.raw = b""
        """Everything received so far."""
        self._content = response.content

    async def until(self, text: bytes, count: int = 1) -> bytes:
        """Read until `text` has been received `count` times."""
        async with asyncio.timeout(WITHIN):
            while self.raw.count(text) < count:
                chunk = await self._content.readany()
                assert chunk, f"the stream ended without {text!r}: {self.raw!r}"
                self.raw += chunk
        return self.raw

    async def some(self, count: int) -> bytes:
        """Read `count` bytes, or to the end."""
        async with asyncio.timeout(WITHIN):
            while len(self.raw) < count and (chunk := await self._content.read(count)):
                self.raw = (self.raw + chunk)[:count]
        return self.raw

    async def end(self) -> bytes:
        """Read to the end."""
        async with asyncio.timeout(WITHIN):
            self.raw += await self._content.read()
        return self.raw

    @property
    def ids(self) -> list[str]:
        """The event ids received so far."""
        return ids(self.raw)

    @property
    def events(self) -> list[Any]:
        """The data of the complete events received so far."""
        return events(self.raw)


def ids(raw: bytes) -> list[str]:
    return [found.decode() for found in _ID.findall(raw)]


def events(raw: bytes) -> list[Any]:
    blocks = raw.split(b"\n\n")[:-1]
    lines = [line for block in blocks for line in block.split(b"\n")]
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]


class Api:
    """A client of the server under test."""

    def __init__(self, client: AsyncHTTPClient, url: str) -> None:
        self.url = url
        self._client = client

    async def fetch(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: dict[str, str] | None = None,
    ) -> HTTPResponse:
        """Send a request. Error responses do not raise an exception."""
        request = HTTPRequest(
            path if path.startswith("http") else self.url + path,
            method=method,
            body=body,
            headers=HTTPHeaders(headers or {}),
            allow_nonstandard_methods=True,
            follow_redirects=False,
            request_timeout=WITHIN,
        )
        return await self._client.fetch(request, raise_error=False)

    async def post(self, body: Any, **headers: str) -> HTTPResponse:
        """Request a launch, and return the response."""
        return await self.fetch(
            "/api/launches", method="POST", body=json.dumps(body), headers={**JSON, **headers}
        )

    async def start(self, spec: Spec | str) -> dict[str, Any]:
        """Start a launch and return its links."""
        response = await self.post({"spec": str(spec)})
        assert response.code == 201, response.body
        links: dict[str, Any] = json.loads(response.body)
        return links

    async def state(self, links: dict[str, Any]) -> dict[str, Any]:
        """Return the state of a launch."""
        response = await self.fetch(links["state_url"])
        assert response.code == 200, response.body
        state: dict[str, Any] = json.loads(response.body)
        return state

    @asynccontextmanager
    async def watch(self, url: str, **headers: str) -> AsyncIterator[Stream]:
        """Open a stream."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                # Not encoded again: percent-encoded slashes stay as they are.
                URL(url if url.startswith("http") else self.url + url, encoded=True),
                headers={
                    "Accept": "text/event-stream",
                    **{name.replace("_", "-"): value for name, value in headers.items()},
                },
            ) as response,
        ):
            yield Stream(response)

    async def whole(self, url: str, **headers: str) -> Stream:
        """Read a stream to its end."""
        async with self.watch(url, **headers) as stream:
            await stream.end()
        return stream

    async def socket(self, url: str, **headers: str) -> WebSocketClientConnection:
        """Open a WebSocket."""
        return await websocket_connect(
            HTTPRequest(url, headers=HTTPHeaders(headers), request_timeout=WITHIN)
        )


async def messages(socket: WebSocketClientConnection) -> list[Any]:
    """Read a WebSocket to its end."""
    received = []
    async with asyncio.timeout(WITHIN):
        while (message := await socket.read_message()) is not None:
            received.append(json.loads(message))
    return received


def sentence(response: HTTPResponse) -> str:
    """Return the message of an error response, and check its format."""
    assert response.headers["Content-Type"] == "application/json"
    body = json.loads(response.body)
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"message", "status"}
    assert body["error"]["status"] == response.code
    message: str = body["error"]["message"]
    assert message[0].isupper() or message[0] in "`'"
    assert message.endswith((".", "?"))
    assert "Traceback" not in message
    return message


@asynccontextmanager
async def narrow(app: Application) -> AsyncIterator[int]:
    """Serve with small buffers, so that a viewer that does not read blocks soon."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    listener.setblocking(False)
    server = HTTPServer(app)
    server.add_socket(listener)
    try:
        yield listener.getsockname()[1]
    finally:
        server.stop()
        await server.close_all_connections()


async def ask(port: int, url: str, *, version: str = "1.1", **headers: str) -> socket.socket:
    """Send a request from a socket with a small receive buffer that does not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    lines = [f"GET {urlsplit(url).path} HTTP/{version}", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    await loop.sock_sendall(client, "\r\n".join([*lines, "", ""]).encode())
    return client


async def read_all(client: socket.socket) -> bytes:
    """Read from a connection until it is closed."""
    loop = asyncio.get_running_loop()
    received = b""
    async with asyncio.timeout(WITHIN):
        try:
            while chunk := await loop.sock_recv(client, 65536):
                received += chunk
        except ConnectionResetError:
            pass  # it was dropped with bytes on the way
    client.close()
    return received


@asynccontextmanager
async def logged(log: Any, text: str) -> AsyncIterator[None]:
    """Wait at the end of the block for a log message."""
    event = asyncio.Event()
    listener = logging.Handler()
    listener.emit = (  # type: ignore[method-assign] # a class for one line would say no more
        lambda record: event.set() if text in record.getMessage() else None
    )
    level = log.level
    log.addHandler(listener)
    log.setLevel(logging.INFO)
    try:
        yield
        async with asyncio.timeout(WITHIN):
            await event.wait()
    finally:
        log.removeHandler(listener)
        log.setLevel(level)
