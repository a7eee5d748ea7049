"""What has expired is deleted, and the disk budget is kept."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from binderprogress.channels.database.store import DatabaseStore
from binderprogress.channels.durable import DurableStore
from binderprogress.errors import ChannelNotFoundError

from ...support.asynchronous import asynchronous
from ...support.replicas import KEY, LOG
from ..test_conformance import WITHIN, event
from ..test_durable_conformance import NAME, Changes, numbers, running, until, with_channel

KINDS = ["sqlite", "postgresql"]


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path')}/launches.sqlite"
    found: str = request.getfixturevalue("database_url")
    return found


def store_of(url: str, **options: Any) -> DatabaseStore:
    return DatabaseStore(url, keys=KEY, log=LOG, **options)


async def gone(store: DurableStore, name: str) -> None:
    async def is_gone() -> bool:
        return await store.find(name) is None

    await until(is_gone)


@asynchronous(60)
async def test_what_has_expired_is_deleted(url: str) -> None:
    async with running(store_of(url)) as store:
        channel = await with_channel(store)
        kept = await with_channel(store, "launch/kept")
        await store.end("launch/kept", b"", expires=time.time() + 1000)
        changes = Changes()
        store.watch_lease(NAME, changes)
        await store.end(NAME, b"", expires=time.time() - 1)
        await changes.more()
        await gone(store, NAME)
        with pytest.raises(ChannelNotFoundError):
            await store.describe(channel)
        assert await numbers(store, kept) == [1, 2, 3]


@asynchronous(60)
async def test_what_expired_meanwhile_is_deleted_at_the_next_start(url: str) -> None:
    async with running(store_of(url)) as store:
        await with_channel(store)
        await store.end(NAME, b"", expires=time.time() + 0.2)
    await asyncio.sleep(0.25)  # it has to expire
    async with running(store_of(url)) as store:
        await gone(store, NAME)


@asynchronous(120)
async def test_what_expires_first_goes_first_if_there_is_too_much(url: str) -> None:
    """Attack: builds that print for ever, until the disk is full."""
    message, budget = "x" * 1000, 200_000
    async with running(store_of(url, budget=budget)) as store:
        for number in range(10):
            name = f"launch/{number}"
            channel = await with_channel(store, name, count=0)
            batch = [event(n, message) for n in range(1, 51)]
            await store.append(channel, batch, expected=0)
            # The later ones expire first.
            await store.end(name, b"", expires=time.time() + 1000 - number)
        running_ = await with_channel(store, "launch/running", count=0)
        # It is looked for when much was written.
        await store.append(running_, [event(n, message) for n in range(1, 51)], expected=0)
        await gone(store, "launch/9")
        await gone(store, "launch/7")

        async def left() -> bool:
            return len(await store.leases("")) <= 4

        await until(left)
        names = [lease.name for lease in await store.leases("")]
        # What runs is never deleted, and no more than is needed.
        assert names == ["launch/0", "launch/1", "launch/running"]
        assert len(await numbers(store, running_)) == 50


@asynchronous(120)
async def test_channels_without_a_lease_end_with_their_process(url: str) -> None:
    first = store_of(url, lasts=1.0)
    await first.open()
    await first.create("left")
    await first._stop(0.1)
    async with running(store_of(url, lasts=1.0)) as second:
        await second.create("other")

        async def is_gone() -> bool:
            second._tidy_wanted.set()
            try:
                await second.describe("left")
            except ChannelNotFoundError:
                return True
            return False

        await until(is_gone)
        assert (await second.describe("other")).last == 0


@asynchronous(120)
async def test_a_file_gives_its_space_back(tmp_path: Path) -> None:
    file = tmp_path / "launches.sqlite"
    async with running(store_of(f"sqlite:///{file}")) as store:
        channel = await with_channel(store, count=0)
        for part in range(20):
            numbers_ = range(part * 500 + 1, part * 500 + 501)
            batch = [event(number, "x" * 1000) for number in numbers_]
            await store.append(channel, batch, expected=part * 500)
        other = await with_channel(store, "launch/other")
        before = file.stat().st_size
        assert before > 8_000_000
        await store.drop(NAME)

        async def small() -> bool:
            # The file shrinks when the write-ahead log is written back, after some more writes.
            await store.renew("launch/other", b"x" * 100_000)
            return file.stat().st_size < before / 8

        async with asyncio.timeout(WITHIN):
            await until(small)
        assert await numbers(store, other) == [1, 2, 3]
    assert file.stat().st_size < before / 8
