"""Processes that are paused and killed while launches with viewers go on, with a real server."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import aiohttp
import pytest

from ..support.asynchronous import asynchronous
from ..support.lastinghub import LastingHub, lasting_hub
from ..support.postgresql import PostgreSQL, running_postgresql
from .load import running
from .quick import SETTINGS, SILENCE
from .replica import Replica, port_is_back, prepare, serving


async def say(hub: LastingHub, seconds: float) -> None:
    """Let servers that start say something for a while."""
    for number in range(int(seconds * 20)):
        hub.say(f"still starting {number}")
        await asyncio.sleep(0.05)


@pytest.fixture
def postgresql() -> Iterator[PostgreSQL]:
    with running_postgresql() as server:
        yield server


async def is_refused(replica: Replica, spec: str) -> bool:
    """Whether a launch that cannot be stored is refused, within the documented time."""
    began = monotonic()
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{replica.url}api/launches", json={"spec": spec}) as response,
    ):
        text = await response.text()
        assert response.status == 503, text
        assert "cannot store launches at the moment" in text
        assert int(response.headers["Retry-After"]) > 0
    # With time for a busy machine.
    return monotonic() - began < 20 * SILENCE


@pytest.mark.long
@pytest.mark.fault(
    part="The launches' database",
    fault="hangs (PostgreSQL, SIGSTOP), and goes on; is killed, and starts again",
    promise="launches go on, with nothing shown that is not stored; others are refused with a 503",
)
@asynchronous(70)
async def test_postgresql(tmp_path: Path, postgresql: PostgreSQL) -> None:
    spec = prepare(tmp_path)
    settings = {
        **SETTINGS,
        "Storage__url": postgresql.url,
        "Storage__timeout": SILENCE,
        "Storage__lease_time": 30.0,
    }
    async with lasting_hub() as hub:
        key = {"BINDERPROGRESS_CRYPT_KEY": secrets.token_hex(32)}
        async with serving(tmp_path, hub, variables=key, **settings) as replica:
            async with running(hub, replica, spec) as load:
                for away, back in (
                    (postgresql.pause, postgresql.resume),
                    (postgresql.kill, postgresql.restart),
                ):
                    await asyncio.to_thread(away)
                    try:
                        assert await is_refused(replica, spec)
                        seen = load.events
                        await say(hub, 1.0)
                        assert load.events == seen
                    finally:
                        await asyncio.to_thread(back)
                    await load.turn()
            await load.check(postgresql.url, [replica])
            load.all_ready()
            assert "Nothing waits for storage any more." in replica.log


@pytest.mark.long
@pytest.mark.fault(
    part="The launches' database",
    fault="is away when a server starts (PostgreSQL)",
    promise="the server waits for it, and goes on with the launches",
)
@asynchronous(70)
async def test_postgresql_that_starts_after_the_server(
    tmp_path: Path, postgresql: PostgreSQL
) -> None:
    spec = prepare(tmp_path)
    settings = {**SETTINGS, "Storage__url": postgresql.url}
    async with lasting_hub() as hub:
        key = {"BINDERPROGRESS_CRYPT_KEY": secrets.token_hex(32)}
        async with serving(tmp_path, hub, variables=key, **settings) as replica:
            async with running(hub, replica, spec) as load:
                async with load.quiet():
                    await replica.kill()
                    await asyncio.to_thread(postgresql.kill)
                    replica.start()
                    while "Waiting for storage" not in replica.log:  # noqa: ASYNC110 - no event
                        await asyncio.sleep(0.05)
                    await asyncio.to_thread(postgresql.restart)
                await load.turn()
            await load.check(postgresql.url, [replica])
            load.all_ready()


@pytest.mark.fault(
    part="The server",
    fault="is paused (SIGSTOP), and goes on; gets SIGTERM, and starts again",
    promise="viewers come back and get every event once; each launch gets one server",
)
@asynchronous(70)
async def test_the_server(tmp_path: Path) -> None:
    spec, storage = prepare(tmp_path), f"sqlite:///{tmp_path}/launches.sqlite"
    settings = {**SETTINGS, "Storage__url": storage}
    async with lasting_hub() as hub, serving(tmp_path, hub, **settings) as replica:
        async with running(hub, replica, spec) as load:
            for _ in range(2):
                replica.pause()
                await say(hub, 3 * SILENCE)
                replica.resume()
                await load.turn()
                async with load.quiet():
                    replica.running.signal(signal.SIGTERM)
                    assert await asyncio.to_thread(replica.running.wait, 60) == 0
                replica.start()
                await port_is_back(replica.port)
                await load.turn()
        await load.check(storage, [replica])
        load.all_ready()
