"""Viewers are told that the store is away, and for how long nothing is shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop
from traitlets.config import Config

from binderprogress.backends.base import PairedBackend
from binderprogress.backends.jupyterhub.launcher import HubLauncher
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.launches import LaunchManager, retries

from ..launches.parts import Feed, gen_test, said, until
from ..support.durable import DurableMemoryStore, Memory
from .clients import Api

WAITING = b": waiting for storage\n\n"


@pytest.fixture
def store() -> DurableMemoryStore:
    return DurableMemoryStore(Memory(), "replica")


@pytest.fixture
def settings() -> Config:
    # The only keepalives are those that say something.
    return Config(Web={"keepalive": 0.0})


@pytest.fixture
def launches(
    io_loop: IOLoop,
    builder: LocalBuilder,
    spawner: HubLauncher,
    settings: Config,
    store: DurableMemoryStore,
) -> Iterator[LaunchManager]:
    launches = LaunchManager(
        channels=store, backend=PairedBackend(builder, spawner), config=settings
    )
    io_loop.run_sync(launches.open)
    yield launches
    io_loop.run_sync(launches.close, timeout=20)


@gen_test
async def test_viewers_are_told_and_miss_nothing(
    api: Api,
    launches: LaunchManager,
    store: DurableMemoryStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retries, "_MOMENT", 0.0)
    async with Feed(tmp_path / "repository", status=1) as feed:
        links = await api.start(feed.spec)
        build = await feed.build()
        await build.write("before\n")
        await until(launches.get(links["id"]), said("before"))
        assert not (await api.state(links))["waiting_for_storage"]
        socket = await api.socket(f"{links['socket_url']}?status=1")
        plain = await api.socket(links["socket_url"])
        async with api.watch(links["events_url"]) as stream:
            await stream.until(b"before")
            store.away = True
            await build.write("meanwhile\n")
            await stream.until(WAITING)
            assert (await api.state(links))["waiting_for_storage"]
            # Who comes now is told as well.
            async with api.watch(links["events_url"]) as late:
                await late.until(WAITING)
                assert b"meanwhile" not in late.raw
                store.away = False
                await late.until(b"meanwhile")
            assert not (await api.state(links))["waiting_for_storage"]
            build.finish()
            raw = await stream.end()
        assert raw.index(WAITING) < raw.index(b":\n\n") < raw.index(b'"phase":"failed"')
        events = stream.events
        for messages in (socket, plain):
            received = []
            while (message := await messages.read_message()) is not None:
                received.append(json.loads(message))
            told = [one["waiting_for_storage"] for one in received if "id" not in one]
            assert told == ([True, False] if messages is socket else [])
            assert [one for one in received if "id" in one] == events
        assert [event["id"] for event in events] == list(range(1, len(events) + 1))


@gen_test
async def test_an_outage_of_a_moment_is_not_shown(
    api: Api, launches: LaunchManager, store: DurableMemoryStore, tmp_path: Path
) -> None:
    async with Feed(tmp_path / "repository", status=1) as feed:
        links = await api.start(feed.spec)
        build = await feed.build()
        waited = []
        launches.storage.changed.add(lambda: waited.append(True))
        store.away = True
        await build.write("meanwhile\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(retries, "_MOMENT", 3600.0)
            while not launches.storage.count:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)
        store.away = False
        build.finish()
        stream = await api.whole(links["events_url"])
    assert b"meanwhile" in stream.raw
    assert WAITING not in stream.raw
    assert waited == []
