"""A store in a file: the file itself, its lock, and errors."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as listen

from binderprogress.channels.database.store import DatabaseStore
from binderprogress.errors import ConfigError, StorageError

from ...support.asynchronous import asynchronous
from ...support.replicas import LOG
from ..test_conformance import event, events
from ..test_durable_conformance import NAME, numbers, running, with_channel


def store_of(folder: Path, **options: Any) -> DatabaseStore:
    return DatabaseStore(f"sqlite:///{folder}/launches.sqlite", log=LOG, **options)


@pytest.fixture
def strange_umask() -> Any:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("strange_umask")
@asynchronous(30)
async def test_all_files_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    async with running(store_of(folder)) as store:
        await with_channel(store)
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
        names = {"launches.sqlite" + end for end in ("", "-wal", "-shm", ".lock")}
        assert modes == dict.fromkeys(names, 0o600)
        assert folder.stat().st_mode & 0o777 == 0o700


@asynchronous(30)
async def test_a_file_is_for_one_process(tmp_path: Path) -> None:
    async with running(store_of(tmp_path)) as store:
        await with_channel(store)
        code = (
            "import asyncio, logging, sys\n"
            "from binderprogress.channels.database.store import DatabaseStore\n"
            "asyncio.run(DatabaseStore(sys.argv[1], log=logging.getLogger()).open())\n"
        )
        url = f"sqlite:///{tmp_path}/launches.sqlite"
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", code, url],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "ConfigError" in done.stderr and "is used by another process" in done.stderr
        with pytest.raises(ConfigError, match="is used by another process"):
            await store_of(tmp_path).open()
        assert len(await store.leases("")) == 1
    await (again := store_of(tmp_path)).open()
    await again.shutdown()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", '"memory"'),
        ("sqlite:///:memory:", '"memory"'),
        ("mysql://host/name", "neither SQLite nor PostgreSQL"),
        ("not a url", "is not the URL of a database"),
        ("sqlite:////proc/store/launches.sqlite", "folder /proc/store"),
    ],
)
def test_what_is_wrong_is_said_at_once(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        DatabaseStore(url, log=LOG)
    assert "c.Storage.url" in str(caught.value)


@asynchronous(30)
async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "launches.sqlite").write_text("Dear diary, " * 100)
    with pytest.raises(ConfigError, match="is not a SQLite database"):
        await store_of(tmp_path).open()
    # It is not locked any more.
    (tmp_path / "launches.sqlite").unlink()
    async with running(store_of(tmp_path)) as store:
        await with_channel(store)


@pytest.mark.fault(
    part="The launches' database",
    fault="has no space (SQLite)",
    promise="it says so, changes nothing, and goes on by itself",
)
@asynchronous(60)
async def test_a_full_disk_is_said_changes_nothing_and_goes_on_by_itself(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    full = False

    def limit(connection: sqlite3.Connection, _: Any) -> None:
        if full:
            connection.execute("PRAGMA max_page_count = 1")  # those that it has

    listen.listen(store._database.engine, "connect", limit)
    async with running(store):
        channel = await with_channel(store)
        full = True
        store._database.engine.dispose()
        store._writer._disconnect()
        big = [event(number, "x" * 10_000) for number in range(4, 104)]
        for _ in range(3):
            with pytest.raises(StorageError, match=r"disk with .* is full"):
                await store.append(channel, big, expected=3)
        assert await numbers(store, channel) == [1, 2, 3]
        full = False
        await store.append(channel, big, expected=3)
        assert len(await numbers(store, channel)) == 103


@asynchronous(60)
async def test_a_failure_fails_what_was_requested_after_it_until_it_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is stored without what was requested before it."""
    async with running(store_of(tmp_path)) as store:
        channel = await with_channel(store, count=0)
        original, calls = store._writer._commit, []

        def fail_once(group: Any) -> Any:
            calls.append(len(group))
            if len(calls) == 1:
                raise OSError("the disk is gone")
            return original(group)

        monkeypatch.setattr(store._writer, "_commit", fail_once)
        first = asyncio.create_task(store.append(channel, events(1, 3), expected=0))
        await asyncio.sleep(0)
        others = [asyncio.create_task(store.renew(NAME, b"%d" % number)) for number in range(100)]
        results = await asyncio.gather(first, *others, return_exceptions=True)
        assert all(isinstance(result, StorageError) for result in results)
        assert len({id(result) for result in results}) == len(results)
        lease = await store.find(NAME)
        assert lease is not None and lease.state == b"state"
        # What is requested once it was reported is done.
        await store.append(channel, events(1, 3), expected=0)
        await store.renew(NAME, b"later")
        assert await numbers(store, channel) == [1, 2, 3]


@asynchronous(60)
async def test_a_bad_request_costs_no_other(tmp_path: Path) -> None:
    async with running(store_of(tmp_path)) as store:
        bad = store.end(NAME, b"", expires="tomorrow")  # type: ignore[arg-type] # that is the point
        await store.lease(NAME, b"")
        others = [store.lease(f"launch/{number}", b"") for number in range(10)]
        worse = store.lease("launch/bad", "text")  # type: ignore[arg-type] # that is the point
        results = await asyncio.gather(bad, *others, worse, return_exceptions=True)
        assert results[1:-1] == [None] * 10
        assert len(await store.leases("launch/")) >= 11


@asynchronous(60)
async def test_damaged_events_are_an_error(tmp_path: Path) -> None:
    async with running(store_of(tmp_path, window=0)) as store:
        channel = await with_channel(store)
        with sqlite3.connect(tmp_path / "launches.sqlite") as connection:
            connection.execute("UPDATE batches SET data = substr(data, 1, 100)")
        connection.close()
        with pytest.raises(StorageError, match="are damaged"):
            await store.read(channel, 0, limit=10)


@asynchronous(60)
async def test_many_events_at_once_become_small_rows(tmp_path: Path) -> None:
    # Who joins late reads a few rows at once. Rows of megabytes filled the memory.
    async with running(store_of(tmp_path, window=0)) as store:
        channel = await with_channel(store)
        longest = event(1004, "y" * 100_000)
        batch = [*(event(number, "x" * 300) for number in range(4, 1004)), longest]
        await store.append(channel, batch, expected=3)
        with sqlite3.connect(tmp_path / "launches.sqlite") as connection:
            rows = connection.execute(
                'SELECT "first", last, length(data) FROM batches WHERE last > 3 ORDER BY last'
            ).fetchall()
        connection.close()
        assert [first for first, _, _ in rows] == [4, *(last + 1 for _, last, _ in rows[:-1])]
        assert rows[-1] == (1004, 1004, len(longest.sse))
        assert max(size for _, _, size in rows[:-1]) <= 64 * 1024
        for after in (3, 4, 163, 1002):
            read = await store.read(channel, after, limit=512)
            assert [each.id for each in read] == list(range(after + 1, min(after + 512, 1004) + 1))


@asynchronous(60)
async def test_nothing_is_stored_after_it_has_stopped(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    await store.open()
    channel = await with_channel(store)
    await store.shutdown()
    with pytest.raises(StorageError, match="stopping"):
        await store.append(channel, [event(4)], expected=3)
    with pytest.raises(StorageError, match="stopping"):
        await store.find(NAME)


@pytest.mark.parametrize("window", [0, 1000, 2**20])
@asynchronous(60)
async def test_windows_of_any_size_give_the_same_events(tmp_path: Path, window: int) -> None:
    async with running(store_of(tmp_path, window=window)) as store:
        channel = await with_channel(store, count=0)
        last = 0
        for size in (1, 2, 30, 1, 1, 7, 100):
            batch = [event(last + n, "x" * (10 * n)) for n in range(1, size + 1)]
            await store.append(channel, batch, expected=last)
            last += size
            for after in {0, 1, last // 2, max(last - 2, 0), last - 1, last}:
                found = await store.read(channel, after, limit=5)
                assert [each.id for each in found] == list(range(after + 1, last + 1))[:5]
            # The newest is always at hand, for those that are up to date.
            assert store.read_nowait(channel, last - 1, limit=5)
