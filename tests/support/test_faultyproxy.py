"""The proxy does to connections what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .asynchronous import asynchronous
from .faultyproxy import FaultyProxy, Mode

LARGE = 64 * 2**20
"""More bytes than all buffers of a connection have room for."""


class Ends:
    """Both ends of a connection through a proxy."""

    def __init__(
        self,
        proxy: FaultyProxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.proxy = proxy
        self.reads, self.writes = client
        self.server_reads, self.server_writes = server

    async def passes(self, data: bytes) -> bool:
        """Whether bytes get through in both directions."""
        self.writes.write(data)
        self.server_writes.write(data)
        there = await self.server_reads.readexactly(len(data))
        return there == data and await self.reads.readexactly(len(data)) == data


@asynccontextmanager
async def ends() -> AsyncIterator[Ends]:
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait((reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with FaultyProxy(port) as proxy:
        client = await asyncio.open_connection("127.0.0.1", proxy.port)
        both = Ends(proxy, client, await accepted.get())
        yield both
        both.writes.transport.abort()
        both.server_writes.transport.abort()
    server.close()


async def is_silent(reader: asyncio.StreamReader) -> bool:
    """Whether nothing comes, not even the end."""
    try:
        async with asyncio.timeout(0.2):
            await reader.read(1)
    except TimeoutError:
        return True
    return False


@asynchronous(20)
async def test_bytes_and_the_end_pass() -> None:
    async with ends() as both:
        assert await both.passes(b"hello")
        both.writes.write_eof()
        assert await both.server_reads.read() == b""
        both.server_writes.write(b"the rest")
        both.server_writes.write_eof()
        assert await both.reads.read() == b"the rest"


@asynchronous(20)
async def test_a_cut_is_seen_by_both_sides() -> None:
    async with ends() as both:
        assert await both.passes(b"hello")
        both.proxy.cut()
        for reader in (both.reads, both.server_reads):
            assert await reader.read() == b""


@asynchronous(40)
async def test_a_stalled_connection_blocks_its_sender() -> None:
    async with ends() as both:
        assert await both.passes(b"hello")
        both.proxy.set(Mode.STALL)
        both.server_writes.write(bytes(LARGE))
        draining = asyncio.create_task(both.server_writes.drain())
        done, _ = await asyncio.wait([draining], timeout=0.2)
        assert not done
        both.proxy.set(Mode.PASS)
        assert len(await both.reads.readexactly(LARGE)) == LARGE
        await draining


@asynchronous(20)
async def test_a_half_open_connection_is_silent() -> None:
    async with ends() as both:
        assert await both.passes(b"hello")
        both.proxy.set(Mode.DROP)
        both.server_writes.write(b"lost")
        both.server_writes.write_eof()
        assert await is_silent(both.reads)
        both.writes.write(b"lost")
        assert await is_silent(both.server_reads)
        both.proxy.cut()


@asynchronous(20)
async def test_what_is_held_back_comes_at_once() -> None:
    async with ends() as both:
        both.proxy.set(Mode.HOLD)
        for piece in (b"one ", b"two ", b"three"):
            both.server_writes.write(piece)
            assert await is_silent(both.reads)
        both.proxy.set(Mode.PASS)
        assert await both.reads.readexactly(13) == b"one two three"


@asynchronous(20)
async def test_latency_delays_bytes() -> None:
    async with ends() as both:
        both.proxy.set(latency=0.5)
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await both.passes(b"hello")
        assert loop.time() - began >= 0.5


@asynchronous(20)
async def test_connections_are_refused_and_changed_one_by_one() -> None:
    async with ends() as both:
        assert await both.passes(b"hello")
        both.proxy.refuses = True
        reader, writer = await asyncio.open_connection("127.0.0.1", both.proxy.port)
        assert await reader.read() == b""
        writer.transport.abort()
        (connection,) = both.proxy.open
        connection.mode = Mode.HOLD
        both.server_writes.write(b"held")
        assert await is_silent(both.reads)
        connection.mode = Mode.PASS
        assert await both.reads.readexactly(4) == b"held"
