"""A GET whose connection is lost is not repeated."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from binderprogress._send_once import send_once

from .support.asynchronous import asynchronous


class Dropping:
    """A server that closes each connection instead of responding."""

    def __init__(self) -> None:
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.requests += 1
        writer.close()


async def _requests(*middlewares: aiohttp.ClientMiddlewareType) -> int:
    """Return how many requests arrive for one GET."""
    dropping = Dropping()
    server = await asyncio.start_server(dropping.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, aiohttp.ClientSession(middlewares=middlewares) as session:
        with pytest.raises(aiohttp.ClientConnectionError, match="disconnected"):
            await session.get(f"http://{host}:{port}/")
    return dropping.requests


@asynchronous(timeout=30)
async def test_a_request_is_sent_once() -> None:
    assert await _requests(send_once) == 1


@asynchronous(timeout=30)
async def test_aiohttp_still_repeats_requests() -> None:
    """If this fails, aiohttp has changed, and `send_once` may not be needed any more."""
    assert await _requests() == 2


@asynchronous(timeout=30)
async def test_an_address_without_a_server_has_its_own_error() -> None:
    """Nothing was sent: clients may ask another server."""
    async with aiohttp.ClientSession(middlewares=[send_once]) as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get("http://127.0.0.1:1/")
