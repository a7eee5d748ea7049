"""Connections that are cut, stall, are half open, or come in bursts: nothing is lost or told twice.

A real server with a real database is used by launches and their viewers. Between it and one of its
neighbours is a proxy with faults. After each fault everything has to go on: a launch gets its
server, and its viewers see it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ..support.asynchronous import asynchronous
from ..support.faultyproxy import FaultyProxy, Mode
from ..support.lastinghub import LastingHub, lasting_hub
from ..support.postgresql import empty_database, postgresql
from .load import Load, running
from .quick import SETTINGS, SILENCE
from .replica import prepare, serving


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


@pytest.mark.fault(
    part="The connection to viewers",
    fault="is cut, refused, stalled, half open, comes in bursts, or is slow",
    promise="every viewer gets every event once",
)
@asynchronous(70)
async def test_between_viewers_and_server(tmp_path: Path) -> None:
    spec, storage = prepare(tmp_path), f"sqlite:///{tmp_path}/launches.sqlite"
    settings = {**SETTINGS, "Storage__url": storage}
    async with (
        lasting_hub() as hub,
        serving(tmp_path, hub, **settings) as replica,
        FaultyProxy(replica.port) as proxy,
    ):
        url = f"http://127.0.0.1:{proxy.port}/"
        async with running(hub, replica, spec, url=url) as load:
            await endure(proxy, hub, load)
        await load.check(storage, [replica])
        load.all_ready()


@pytest.mark.long
@pytest.mark.fault(
    part="JupyterHub",
    fault="has connections that are cut, refused, stalled, half open, come in bursts, or are slow",
    promise="each launch gets one server, and nothing is told twice",
)
@asynchronous(70)
async def test_between_server_and_jupyterhub(tmp_path: Path) -> None:
    spec, storage = prepare(tmp_path), f"sqlite:///{tmp_path}/launches.sqlite"
    async with lasting_hub() as hub, FaultyProxy(port_of(hub.url)) as proxy:
        hub.url = f"http://127.0.0.1:{proxy.port}/"
        settings = {**SETTINGS, "Storage__url": storage}
        async with serving(tmp_path, hub, **settings) as replica:
            async with running(hub, replica, spec) as load:
                await endure(proxy, hub, load)
            await load.check(storage, [replica])
            load.all_ready()


@pytest.fixture
def database_url() -> Iterator[str]:
    with postgresql() as url, empty_database(url) as database:
        yield database


@pytest.mark.long
@pytest.mark.fault(
    part="The launches' database",
    fault="has connections that are cut, refused, stalled, half open, come in bursts, or are slow",
    promise="launches go on; what happens meanwhile is shown once it is stored, and once only",
)
@asynchronous(70)
async def test_between_server_and_postgresql(tmp_path: Path, database_url: str) -> None:
    spec = prepare(tmp_path)
    async with lasting_hub() as hub, FaultyProxy(port_of(database_url)) as proxy:
        through = database_url.replace(f":{proxy.target}/", f":{proxy.port}/")
        settings = {
            **SETTINGS,
            "Storage__url": through,
            "Storage__timeout": SILENCE,
            "Storage__lease_time": 30.0,
        }
        key = {"BINDERPROGRESS_CRYPT_KEY": secrets.token_hex(32)}
        async with serving(tmp_path, hub, variables=key, **settings) as replica:
            async with running(hub, replica, spec) as load:
                await endure(proxy, hub, load)
            await load.check(database_url, [replica])
            load.all_ready()
