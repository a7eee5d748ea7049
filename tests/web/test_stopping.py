"""What clients get from a server that is being stopped."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tornado.web import Application

from binderprogress.core.specs import Spec
from binderprogress.web.config import Web
from binderprogress.web.server import HttpServer

from ..launches.parts import WITHIN, SilentHost, gen_test
from .clients import Api, read_all, sentence

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@gen_test
async def test_requests_are_refused_in_a_way_that_differs_from_a_limit(api: Api, web: Web) -> None:
    async with SilentHost() as host:
        links = await api.start(host.spec)
        web.refuse_requests()
        for response in (
            await api.post({"spec": str(host.spec)}),
            await api.fetch(links["state_url"]),
            await api.fetch(links["events_url"]),
            await api.fetch("/build/gh/a/b/HEAD", headers={"Accept": "text/event-stream"}),
        ):
            assert response.code == 503
            assert response.headers["Retry-After"] == "5"
            assert response.headers["Connection"] == "close"
            expected = "This server is being stopped. Try again in a moment."
            assert sentence(response) == expected
        page = await api.fetch("/")
        assert (page.code, page.headers["Retry-After"]) == (503, "5")
        # A probe that still has a connection.
        assert (await api.fetch("/health")).code == 200
        # A browser asks for permission before it sends the actual request.
        assert (await api.fetch("/api/launches", method="OPTIONS")).code == 204


@gen_test
async def test_a_launch_that_is_not_known_any_more_is_not_reported_as_gone(
    api: Api, web: Web, failing: Spec
) -> None:
    links = await api.start(failing)
    waiting = asyncio.Event()
    find = web.launches.find

    async def find_later(*args: str, **options: str) -> object:
        # A request that has begun before the server was stopped.
        web.refuse_requests()
        web.launches._directory.clear()
        waiting.set()
        return await find(*args, **options)

    web.launches.find = find_later  # type: ignore[assignment]
    response = await api.fetch(links["state_url"])
    assert waiting.is_set()
    assert response.code == 503


@asynccontextmanager
async def listening(app: Application) -> AsyncIterator[tuple[HttpServer, int]]:
    server = HttpServer()
    sockets = server.bind(0, "127.0.0.1")
    server.listen(app, sockets)
    try:
        yield server, sockets[0].getsockname()[1]
    finally:
        server.stop()
        await server.close()


async def connect(port: int) -> Connection:
    return await asyncio.open_connection("127.0.0.1", port)


async def rest(connection: Connection) -> bytes:
    """Read until the server closes the connection."""
    reader, writer = connection
    async with asyncio.timeout(WITHIN):
        data = await reader.read()
    writer.close()
    return data


HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@gen_test
async def test_idle_connections_are_closed_and_begun_requests_are_answered(
    app: Application, web: Web
) -> None:
    async with listening(app) as (server, port):
        idle, half, unread = [await connect(port) for _ in range(3)]
        for reader, writer in (idle, half, unread):
            writer.write(HEALTH)
            await reader.readuntil(b'"replicas":1')
        fresh = await connect(port)
        fresh[1].write(HEALTH[:20])
        while len(server.connections) < 4:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        for _, writer in (half, unread):
            # Sent, but not received when the server stops.
            writer.write(HEALTH)
        web.refuse_requests()
        server.stop()
        late = await connect_or_none(port)
        assert late is None
        assert b"HTTP/1.1" not in await rest(idle)
        for connection in (half, unread):
            answer = await rest(connection)
            assert b"HTTP/1.1 200" in answer
            assert b"Connection: close" in answer
        fresh[1].write(HEALTH[20:])
        assert b"HTTP/1.1 200" in await rest(fresh)


async def connect_or_none(port: int) -> Connection | None:
    try:
        return await connect(port)
    except ConnectionRefusedError:
        return None


@gen_test
async def test_connections_that_the_system_has_accepted_are_answered(
    app: Application, web: Web
) -> None:
    async with listening(app) as (server, port):
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(HEALTH)
        # The event loop has had no turn to accept it.
        assert len(server.connections) == 0
        web.refuse_requests()
        server.stop()
        client.setblocking(False)
        assert (await read_all(client)).startswith(b"HTTP/1.1 200")
