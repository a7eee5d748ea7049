"""Attacks on memory: a Hub, a BinderHub or a Jupyter server that never stops sending."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psutil
import pytest

from binderprogress.backends.base import PairedBackend
from binderprogress.backends.binderhub.backend import UpstreamBuilder, UpstreamLauncher
from binderprogress.backends.binderhub.upstreams import Upstreams
from binderprogress.backends.jupyterhub.launcher import HubLauncher
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.client import AsyncClient
from binderprogress.client.jupyter import JupyterClient
from binderprogress.client.models import JupyterServer
from binderprogress.core.events import Event
from binderprogress.core.phases import Phase
from binderprogress.core.specs import parse
from binderprogress.errors import LaunchFailedError, RunFailedError, ServerUnreachableError
from binderprogress.launches import Caller, Launch, LaunchManager

from ..launches.parts import events_of
from ..support.asynchronous import asynchronous
from ..support.launch_requests import launch_request

MEBI = 2**20
CHUNK = b"x" * 65536
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
FOREVER = b"Connection: close\r\n\r\n"

Send = Callable[[bytes], Awaitable[None]]


@dataclass
class Sender:
    """A server that answers each request as a test says, and counts what was taken from it."""

    answer: Callable[[str, Send], Awaitable[None]]
    url: str = ""
    sent: list[int] = field(default_factory=list)
    """Bytes that each connection has taken, as far as the sockets' buffers tell."""
    done: list[asyncio.Event] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        done = asyncio.Event()
        self.done.append(done)
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            number = len(self.sent)
            self.sent.append(0)

            async def send(data: bytes) -> None:
                writer.write(data)
                await writer.drain()
                self.sent[number] += len(data)

            await self.answer(request, send)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # it was cut: what is wanted
        finally:
            writer.close()
            done.set()


@asynccontextmanager
async def sending(answer: Callable[[str, Send], Awaitable[None]]) -> AsyncIterator[Sender]:
    sender = Sender(answer)
    server = await asyncio.start_server(sender.handle, "127.0.0.1", 0)
    sender.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        yield sender
    finally:
        server.close()
        for done in sender.done:
            await done.wait()


@asynccontextmanager
async def in_front_of(hub: Sender) -> AsyncIterator[LaunchManager]:
    upstreams = Upstreams(urls=[hub.url], pauses=[0.01, 0.01])
    manager = LaunchManager(
        channels=MemoryChannelStore(),
        backend=PairedBackend(UpstreamBuilder(upstreams), UpstreamLauncher(upstreams)),
    )
    try:
        yield manager
    finally:
        await manager.close()


async def start(manager: LaunchManager) -> Launch:
    spec = parse("gh/ada/penguins/HEAD")
    return await manager.start(spec, Caller(base_url="http://here.invalid/", ip="::1"))


def spawner(hub: Sender) -> HubLauncher:
    return HubLauncher(
        url=hub.url,
        api_url=f"{hub.url}hub/api/",
        api_token="t",
        attempts=1,
        retries=2,
        retry_delay=0.01,
        request_timeout=60.0,
    )


async def spawn(hub: Sender) -> LaunchFailedError:
    made = spawner(hub)
    try:
        with pytest.raises(LaunchFailedError) as caught:
            async for _ in made.launch(launch_request()):
                pass
        return caught.value
    finally:
        await made.close()


def memory() -> int:
    return int(psutil.Process().memory_info().rss)


async def line_without_end(_: str, send: Send) -> None:
    await send(STREAM + FOREVER + b"data: ")
    while True:
        await send(CHUNK)


async def event_without_end(_: str, send: Send) -> None:
    await send(STREAM + FOREVER)
    while True:
        await send(b"data: x\n" * 8192)


@pytest.mark.parametrize("answer", [line_without_end, event_without_end])
@asynchronous(60)
async def test_attack_upstream_stream_without_end(
    answer: Callable[[str, Send], Awaitable[None]],
) -> None:
    """A BinderHub sends a line, or an event, that never ends: it must not be held in memory."""
    async with sending(answer) as hub, in_front_of(hub) as manager:
        before = memory()
        *_, last = await events_of(await start(manager))
    assert last.phase == "failed"
    assert last.reason == "host-unreachable"
    assert len(hub.sent) == 3
    assert max(hub.sent) < 12 * MEBI
    assert memory() - before < 64 * MEBI


def compressed(size: int) -> bytes:
    body = gzip.compress(b" " * size)
    head = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + body


@asynchronous(60)
async def test_attack_compressed_upstream_stream() -> None:
    """A BinderHub sends a bomb, though no compression was asked for."""
    bomb = compressed(100 * MEBI)

    async def answer(text: str, send: Send) -> None:
        assert "Accept-Encoding: identity" in text
        await send(STREAM + bomb)

    async with sending(answer) as hub, in_front_of(hub) as manager:
        before = memory()
        *_, last = await events_of(await start(manager))
    assert last.phase == "failed"
    assert "compressed" in last.message
    assert memory() - before < 64 * MEBI


@asynchronous(60)
async def test_attack_upstream_header_flood() -> None:
    """A BinderHub sends headers for ever."""

    async def answer(_: str, send: Send) -> None:
        await send(STREAM)
        while True:
            await send(b"X-Flood: x\r\n" * 1000)

    async with sending(answer) as hub, in_front_of(hub) as manager:
        *_, last = await events_of(await start(manager))
    assert last.phase == "failed"
    assert last.reason in {"host-unreachable", "connection-lost"}
    assert sum(hub.sent) < 12 * MEBI


@asynchronous(60)
async def test_attack_health_without_end() -> None:
    """The /health of a BinderHub never ends."""

    async def answer(_: str, send: Send) -> None:
        await send(JSON + FOREVER + b'{"ok": true, "x": "')
        while True:
            await send(CHUNK)

    async with sending(answer) as hub:
        upstreams = Upstreams(urls=[hub.url], health_timeout=50.0)
        await upstreams.check(upstreams.hubs[0])
        assert "longer than 1,048,576 bytes" in upstreams.hubs[0].problem
        await upstreams.close()
        assert sum(hub.sent) < 8 * MEBI


@asynchronous(60)
async def test_attack_hub_answer_without_end() -> None:
    """JupyterHub, or what answers in its place, answers a request for ever."""

    async def answer(_: str, send: Send) -> None:
        await send(b"HTTP/1.1 201 Created\r\n" + FOREVER)
        while True:
            await send(CHUNK)

    async with sending(answer) as hub:
        error = await spawn(hub)
    assert error.reason == "hub-unreachable"
    assert "longer than" in str(error)
    assert len(hub.sent) == 2
    assert sum(hub.sent) < 16 * MEBI


@asynchronous(60)
async def test_attack_compressed_hub_answer() -> None:
    """JupyterHub, or what answers in its place, sends a bomb."""
    bomb = compressed(200 * MEBI)

    async def answer(_: str, send: Send) -> None:
        await send(b"HTTP/1.1 201 Created\r\n" + bomb)

    async with sending(answer) as hub:
        before = memory()
        error = await spawn(hub)
    assert error.reason == "hub-unreachable"
    assert memory() - before < 80 * MEBI


def progress(stream: Callable[[Send], Awaitable[None]]) -> Callable[[str, Send], Awaitable[None]]:
    """Answer as JupyterHub does, until the progress is asked for."""

    async def answer(text: str, send: Send) -> None:
        if "/progress" in text.partition("\r\n")[0]:
            await send(STREAM + FOREVER)
            await stream(send)
        else:
            status = b"202 Accepted" if "/server" in text.partition("\r\n")[0] else b"201 Created"
            await send(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\n{}" % status)

    return answer


@pytest.mark.fault(
    part="JupyterHub",
    fault="sends a line that does not end",
    promise="the launch ends, within bounded memory",
)
@asynchronous(60)
async def test_attack_hub_progress_without_end() -> None:
    """A line of JupyterHub's progress never ends."""

    async def stream(send: Send) -> None:
        await send(b"data: ")
        while True:
            await send(CHUNK)

    async with sending(progress(stream)) as hub:
        error = await spawn(hub)
    assert error.reason == "hub-unreachable"
    assert max(hub.sent) < 8 * MEBI


@pytest.mark.long
@pytest.mark.fault(
    part="JupyterHub",
    fault="floods the progress stream",
    promise="the launch ends, within bounded memory",
)
@asynchronous(120)
async def test_attack_hub_progress_flood() -> None:
    """JupyterHub sends a new event again and again; each was remembered, to know it again."""

    async def stream(send: Send) -> None:
        number = 0
        while True:
            events = range(number, number + 500)
            number += 500
            await send(
                b"".join(
                    b"data: %b\n\n" % json.dumps({"message": f"{n} " * 50}).encode() for n in events
                )
            )

    async with sending(progress(stream)) as hub:
        before = memory()
        error = await spawn(hub)
    assert error.reason == "spawn-failed"
    assert "100,000 events" in str(error)
    assert memory() - before < 64 * MEBI


@asynchronous(60)
async def test_attack_client_of_a_server_that_never_ends() -> None:
    """The server that a client was pointed at answers for ever."""

    async def answer(_: str, send: Send) -> None:
        await send(JSON + FOREVER + b'{"binderhub": "')
        while True:
            await send(CHUNK)

    async with sending(answer) as hub, AsyncClient(hub.url, timeout=50.0) as client:
        with pytest.raises(ServerUnreachableError, match="longer than"):
            await client.detect_kind()
        assert sum(hub.sent) < 24 * MEBI


def at(hub: Sender) -> JupyterServer:
    ready = Event(
        id=1, phase=Phase.READY, time=0.0, elapsed=0.0, progress=100.0, url=hub.url, token="t"
    )
    return JupyterServer(hub.url, "t", ready)


@asynchronous(60)
async def test_attack_client_of_a_jupyter_server_that_never_ends() -> None:
    """The repository's code answers in place of its Jupyter server, for ever."""

    async def answer(_: str, send: Send) -> None:
        await send(JSON + FOREVER + b'{"content": [')
        while True:
            await send(CHUNK)

    async with sending(answer) as hub, JupyterClient(at(hub), timeout=50.0) as server:
        with pytest.raises(RunFailedError, match="longer than"):
            await server.notebooks()
        assert sum(hub.sent) < 24 * MEBI
