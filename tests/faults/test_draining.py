"""A server that gets SIGTERM sends its viewers away in an orderly manner."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest

from binderprogress.core import sse
from binderprogress.deploy.embedded_jupyterhub import free_ports

from ..support.asynchronous import asynchronous
from ..support.binderhub import BinderHub, binderhub_in_thread
from ..support.postgresql import postgresql
from ..support.processes import Program, environment, program
from ..support.replicas import KEY

SPEC = "gh/ada/penguins/HEAD"
VIEWERS = 50
SOCKETS = 20


@pytest.fixture
def hub() -> Iterator[BinderHub]:
    """A BinderHub whose build goes on until it may."""
    with binderhub_in_thread() as hub:
        hub.pause()
        yield hub


@contextmanager
def serving(folder: Path, hub: BinderHub, **more: object) -> Iterator[tuple[Program, str]]:
    """Run a server in front of a BinderHub; yields it and its address."""
    (port,) = free_ports(1)
    options = {
        "port": port,
        "Upstreams.urls": f"['{hub.url}']",
        "History.url": "",
        "Storage.url": f"sqlite:///{folder}/launches.sqlite",
        "Storage.log_folder": folder / "logs",
        **{name.replace("__", "."): value for name, value in more.items()},
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    env = {**environment(folder / "cache"), "BINDERPROGRESS_CRYPT_KEY": KEY}
    log = folder / f"{port}.log"
    with program("binderprogress", "serve", *arguments, env=env, log=log) as running:
        assert running.line().startswith("binderprogress listens on "), log.read_text()
        yield running, f"http://127.0.0.1:{port}/"
        assert "Traceback" not in log.read_text()


def log_in(folder: Path) -> str:
    """Return what the only server of a folder has logged."""
    (log,) = folder.glob("*.log")
    return log.read_text()


async def start(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with session.post(f"{url}api/launches", json={"spec": SPEC}) as response:
        assert response.status == 201
        links: dict[str, Any] = await response.json()
        return links


@asynccontextmanager
async def watching(session: aiohttp.ClientSession, url: str) -> AsyncIterator[sse.Decoder]:
    """Watch until the end of the response, which must be proper; the block begins before that."""
    decoder = sse.Decoder()
    async with session.get(url) as response:
        assert decoder.feed(await response.content.readuntil(b"\n\n")) == []
        yield decoder
        # Raises an exception if the last chunk is missing.
        decoder.feed(await response.content.read())


async def closed(socket: aiohttp.ClientWebSocketResponse) -> float:
    """Wait until the server has closed a WebSocket. Return when, by the monotonic clock."""
    while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
        pass
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)
    return monotonic()


async def send_away(
    url: str, links: dict[str, Any], server: Program
) -> tuple[list[float], list[float]]:
    """Stop a server with viewers.

    Returns
    -------
    times : list of float
        After how many seconds each viewer of server-sent events is to come again.
    closes : list of float
        When each WebSocket was closed, in seconds after the first one.
    """
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(session.ws_connect(links["socket_url"]))
            for _ in range(SOCKETS)
        ]
        decoders = [
            await stack.enter_async_context(watching(session, links["events_url"]))
            for _ in range(VIEWERS)
        ]
        # A connection that nobody uses at the moment, as proxies have them.
        port = int(url.rpartition(":")[2].strip("/"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP/1.1 " in await reader.readuntil(b"\r\n\r\n")
        server.signal(signal.SIGTERM)
        assert await reader.read() == b""
        writer.close()
        closes = sorted(await asyncio.gather(*map(closed, sockets)))
        await stack.pop_all().aclose()
    assert await asyncio.to_thread(server.wait, 30) == 0
    times = [decoder.retry / 1000 for decoder in decoders if decoder.retry is not None]
    return times, [each - closes[0] for each in closes]


@pytest.mark.fault(
    part="The server",
    fault="gets SIGTERM while people watch",
    promise=(
        "all streams end properly, and say when to reconnect, each at another moment; WebSockets "
        "are closed with 1012, with other replicas each at another moment; the next server goes on"
    ),
)
@asynchronous(120)
async def test_viewers_of_a_single_server_come_again_soon(tmp_path: Path, hub: BinderHub) -> None:
    with serving(tmp_path, hub) as (server, url):
        async with aiohttp.ClientSession() as session:
            links = await start(session, url)
        times, _ = await send_away(url, links, server)
    log = log_in(tmp_path)
    assert "is handed over" in log
    assert "was cancelled" not in log
    assert len(times) == VIEWERS
    assert len(set(times)) > VIEWERS // 2
    # The next server should have them back soon.
    assert 0.25 <= min(times) < 0.6
    assert 0.9 < max(times) <= 1.25


@asynchronous(120)
async def test_viewers_of_one_of_several_replicas_are_spread(
    tmp_path: Path, hub: BinderHub
) -> None:
    with postgresql() as database:
        shared = {"Storage__url": database, "Storage__lease_time": 3, "Web__reconnect_spread": 20}
        with (
            serving(tmp_path, hub, **shared) as (server, url),
            serving(tmp_path, hub, **shared) as (_, other),
        ):
            async with aiohttp.ClientSession() as session:
                links = await start(session, url)
                await both_know(session, url, other)
            times, closes = await send_away(url, links, server)
            elsewhere = f"{other}api/launches/{links['id']}/events"
            hub.resume()
            async with aiohttp.ClientSession() as session, session.get(elsewhere) as response:
                events = sse.Decoder().feed(await response.content.read())
    assert '"phase":"ready"' in events[-1].data
    assert len(times) == VIEWERS
    assert min(times) < 5
    assert max(times) > 15
    assert all(0.25 <= each <= 20.25 for each in times)
    # Such viewers cannot be told when to come again.
    assert closes[-1] > 1


async def both_know(session: aiohttp.ClientSession, *urls: str) -> None:
    """Wait until all replicas know of each other."""
    for url in urls:
        while True:
            async with session.get(f"{url}health") as response:
                if (await response.json())["replicas"] == len(urls):
                    break
            await asyncio.sleep(0.1)  # there is no event for it


@asynchronous(120)
async def test_viewers_of_a_launch_that_is_over_are_not_sent_away(
    tmp_path: Path, hub: BinderHub
) -> None:
    """`/build/` keeps the connection open for a while after the server is ready."""
    hub.resume()
    with serving(tmp_path, hub) as (server, url):
        accept = {"Accept": "text/event-stream"}
        async with (
            aiohttp.ClientSession(headers=accept) as session,
            session.get(f"{url}build/{SPEC}") as response,
        ):
            decoder, events = sse.Decoder(), []
            # As after each launch: it is to come again in an hour.
            while decoder.retry != 3_600_000:
                events += decoder.feed(await response.content.readany())
            server.signal(signal.SIGTERM)
            rest = await response.content.read()
        assert '"phase":"ready"' in events[-1].data
        assert decoder.feed(rest) == []
        assert decoder.retry == 3_600_000
        assert await asyncio.to_thread(server.wait, 30) == 0


@asynchronous(120)
async def test_all_launches_end_on_ctrl_c_and_nobody_is_to_come_again(
    tmp_path: Path, hub: BinderHub
) -> None:
    with serving(tmp_path, hub) as (server, url):
        async with aiohttp.ClientSession() as session:
            links = await start(session, url)
            decoder, events = sse.Decoder(), []
            async with session.get(links["events_url"]) as response:
                events += decoder.feed(await response.content.readuntil(b"\n\n"))
                server.signal(signal.SIGINT)
                events += decoder.feed(await response.content.read())
        assert '"phase":"cancelled"' in events[-1].data
        assert decoder.retry == 3_600_000
        assert await asyncio.to_thread(server.wait, 30) == 0
