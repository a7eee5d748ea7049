"""Connections that are cut, stall, are half open, or come in bursts: nothing is lost or told twice.

A real server with a real database is used by launches and their viewers. Between it and one of its
neighbours is a proxy with faults. After each fault everything has to go on: a launch gets its
server, and its viewers see it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ..support.asynchronous import asynchronous
from ..support.faultyproxy import FaultyProxy, Mode
from ..support.lastinghub import LastingHub, lasting_hub
from ..support.postgresql import empty_database, postgresql
from .load import Load
from .replica import Replica, prepare, serving

SILENCE = 1.0
"""Seconds without data after which each side gives a connection up, in these tests."""


async def cut(proxy: FaultyProxy) -> None:
    """Cut everything, a few times."""
    for _ in range(3):
        proxy.cut()
        await asyncio.sleep(0.3)


async def refuse(proxy: FaultyProxy) -> None:
    """Cut everything, and let nobody in for a while."""
    proxy.refuses = True
    proxy.cut()
    await asyncio.sleep(2 * SILENCE)
    proxy.refuses = False


async def stall(proxy: FaultyProxy) -> None:
    """Read nothing for longer than anybody waits."""
    proxy.set(Mode.STALL)
    await asyncio.sleep(2 * SILENCE)
    proxy.set(Mode.PASS)


async def half_open(proxy: FaultyProxy) -> None:
    """Lose all connections without telling anybody; new ones work."""
    for connection in tuple(proxy.open):
        connection.mode = Mode.DROP
    await asyncio.sleep(SILENCE)


async def bursts(proxy: FaultyProxy) -> None:
    """Hold everything back, and release it at once."""
    for _ in range(3):
        proxy.set(Mode.HOLD)
        await asyncio.sleep(0.6 * SILENCE)
        proxy.set(Mode.PASS)
        await asyncio.sleep(0.1)


async def slow(proxy: FaultyProxy) -> None:
    """Delay everything."""
    proxy.set(latency=0.2)
    await asyncio.sleep(2.0)
    proxy.set(latency=0.0)


Fault = Callable[[FaultyProxy], Awaitable[None]]
FAULTS: list[Fault] = [cut, refuse, stall, half_open, bursts, slow]


@asynccontextmanager
async def load_of(
    folder: Path, hub: LastingHub, replica: Replica, *, url: str = ""
) -> AsyncIterator[Load]:
    """Run launches with viewers until the block ends; then end them, and check everything."""
    spec = (folder / "repository").as_uri()
    load = Load(hub, url or replica.url, spec, launches=5, viewers=3, silence=SILENCE)
    try:
        await load.build()
        await load.fill()
        yield load
        await load.finish()
        assert await replica.stop() == 0
    finally:
        await load.close()


async def endure(proxy: FaultyProxy, hub: LastingHub, load: Load) -> None:
    """Inject all faults, one after the other, while servers say something all the time."""
    for fault in FAULTS:
        injecting = asyncio.ensure_future(fault(proxy))
        number = 0
        while not injecting.done():
            number += 1
            hub.say(f"{fault.__name__} {number}")
            await asyncio.wait([injecting], timeout=0.05)
        await injecting
        await load.turn()


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


SETTINGS: dict[str, Any] = {
    "Web__keepalive": 0.2,
    "Web__viewer_timeout": SILENCE,
    "HubLauncher__idle_timeout": SILENCE,
    "HubLauncher__request_timeout": SILENCE,
    "HubLauncher__retry_delay": 0.1,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(tmp_path)
    return tmp_path


@pytest.mark.fault(
    part="The connection to viewers",
    fault="is cut, refused, stalled, half open, comes in bursts, or is slow",
    promise="every viewer gets every event once",
)
@asynchronous(120)
async def test_between_viewers_and_server(folder: Path) -> None:
    storage = f"sqlite:///{folder}/launches.sqlite"
    settings = {**SETTINGS, "Storage__url": storage}
    async with (
        lasting_hub() as hub,
        serving(folder, hub, **settings) as replica,
        FaultyProxy(replica.port) as proxy,
    ):
        url = f"http://127.0.0.1:{proxy.port}/"
        async with load_of(folder, hub, replica, url=url) as load:
            await endure(proxy, hub, load)
        await load.check(storage, [replica])
        load.all_ready()


@pytest.mark.fault(
    part="JupyterHub",
    fault="has connections that are cut, refused, stalled, half open, come in bursts, or are slow",
    promise="each launch gets one server, and nothing is told twice",
)
@asynchronous(120)
async def test_between_server_and_jupyterhub(folder: Path) -> None:
    storage = f"sqlite:///{folder}/launches.sqlite"
    async with lasting_hub() as hub, FaultyProxy(port_of(hub.url)) as proxy:
        hub.url = f"http://127.0.0.1:{proxy.port}/"
        settings = {**SETTINGS, "Storage__url": storage}
        async with serving(folder, hub, **settings) as replica:
            async with load_of(folder, hub, replica) as load:
                await endure(proxy, hub, load)
            await load.check(storage, [replica])
            load.all_ready()


@pytest.fixture
def database_url() -> Iterator[str]:
    with postgresql() as url, empty_database(url) as database:
        yield database


@pytest.mark.fault(
    part="The launches' database",
    fault="has connections that are cut, refused, stalled, half open, come in bursts, or are slow",
    promise="launches go on; what happens meanwhile is shown once it is stored, and once only",
)
@asynchronous(120)
async def test_between_server_and_postgresql(folder: Path, database_url: str) -> None:
    async with lasting_hub() as hub, FaultyProxy(port_of(database_url)) as proxy:
        through = database_url.replace(f":{proxy.target}/", f":{proxy.port}/")
        settings = {
            **SETTINGS,
            "Storage__url": through,
            "Storage__timeout": SILENCE,
            "Storage__lease_time": 30.0,
        }
        key = secrets.token_hex(32)
        async with serving(folder, hub, key=key, **settings) as replica:
            async with load_of(folder, hub, replica) as load:
                await endure(proxy, hub, load)
            await load.check(database_url, [replica])
            load.all_ready()
