"""Processes that are killed and paused while they write."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from binderprogress.channels.database.store import DatabaseStore
from binderprogress.channels.durable import Lease
from binderprogress.core.events import Encoded
from binderprogress.errors import LeaseLostError, StorageError

from ...support.asynchronous import asynchronous
from ...support.replicas import KEY, LOG
from ..test_conformance import WITHIN
from ..test_durable_conformance import NAME, running, until
from .replica import line

LASTS = 2.0
CHANNEL = "channel"


@asynccontextmanager
async def replica(url: str) -> AsyncIterator[Process]:
    """Run a process that writes."""
    root = Path(__file__).parents[3]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.channels.database.replica", url, NAME, CHANNEL, str(LASTS)),
        stdout=PIPE,
        cwd=root,
        env={**os.environ, "BINDERPROGRESS_CRYPT_KEY": KEY},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def stored(process: Process, number: int) -> int:
    """Read what a process prints until it has stored an event; return the last that it has."""
    assert process.stdout is not None
    async with asyncio.timeout(4 * WITHIN):
        async for output in process.stdout:
            kind, _, rest = output.decode().strip().partition(" ")
            if kind == "stored" and int(rest) >= number:
                return int(rest)
    raise AssertionError("the process has ended")


async def take(store: DatabaseStore) -> Lease:
    """Take the lease as soon as possible."""
    await until(store.abandoned)
    while True:
        try:
            return await store.take(NAME)
        except LeaseLostError:
            raise
        except StorageError:
            # The paused process may be within a transaction, which the server ends.
            await asyncio.sleep(0.05)


class Viewer:
    """Notes all events that a replica shows."""

    def __init__(self, store: DatabaseStore) -> None:
        self.seen: list[Encoded] = []
        self._store = store
        self._came = asyncio.Event()
        self._stop = store.watch(CHANNEL, lambda last, closed: self._came.set())
        self._task = asyncio.create_task(self._view())

    async def _view(self) -> None:
        while True:
            found = await self._store.read(CHANNEL, len(self.seen), limit=100)
            self.seen += found
            if not found:
                await self._came.wait()
                self._came.clear()

    async def has(self, number: int) -> None:
        async with asyncio.timeout(WITHIN):
            while len(self.seen) < number:  # noqa: ASYNC110 - it is a test of what comes
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._stop()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def check(store: DatabaseStore, viewer: Viewer, first: int, last: int) -> None:
    """Check that what was seen is what is stored, and that nobody wrote after its successor."""
    read = await store.read(CHANNEL, 0, limit=10**6)
    assert [each.id for each in read] == list(range(1, last + 1))
    await viewer.has(last)
    assert [each.sse for each in viewer.seen] == [each.sse for each in read]
    writers = [each.event.message.rpartition(" ")[2] for each in read]
    assert set(writers[first:]) == {store.replica}
    assert store.replica not in writers[:first]


def store_of(url: str) -> DatabaseStore:
    return DatabaseStore(url, keys=KEY, lasts=LASTS, timeout=LASTS, log=LOG)


@pytest.mark.fault(
    part="The server",
    fault="is killed, or paused (SIGSTOP), while it writes to PostgreSQL",
    promise="nothing is lost, and nothing that it writes later is seen",
)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
@asynchronous(120)
async def test_a_process_that_is_killed_or_paused_is_succeeded(
    database_url: str, how: signal.Signals
) -> None:
    async with replica(database_url) as process, running(store_of(database_url)) as store:
        await stored(process, 30)
        viewer = Viewer(store)
        await viewer.has(60)
        process.send_signal(how)
        lease = await take(store)
        assert lease.fence == 2
        before = (await store.describe(CHANNEL)).last
        last = before
        for _ in range(20):
            batch = [line(last + 1, store.replica), line(last + 2, store.replica)]
            await store.append(CHANNEL, batch, expected=last)
            last += 2
        if how is signal.SIGSTOP:
            process.send_signal(signal.SIGCONT)
            # It finds out by its next write, and ends by itself.
            assert process.stdout is not None
            async with asyncio.timeout(4 * WITHIN):
                output = await process.stdout.read()
            assert output.decode().strip().splitlines()[-1].startswith("lost")
            assert await process.wait() == 0
        await check(store, viewer, before, last)
        # Everything that the process said was stored is there.
        await store.close(CHANNEL)
        await viewer.stop()


@pytest.mark.fault(
    part="The server",
    fault="is killed while it writes to SQLite",
    promise="nothing that was shown is lost",
)
@asynchronous(120)
async def test_a_process_with_a_file_that_is_killed_is_succeeded(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/launches.sqlite"
    last = 0
    for _ in range(3):
        async with replica(url) as process:
            said = await stored(process, 90)
            process.kill()
            await process.wait()
            assert process.stdout is not None
            rest = (await process.stdout.read()).decode().split()
            said = max([said, *map(int, rest[1::2])])
        async with running(store_of(url)) as store:
            (lease,) = await store.abandoned()
            await store.take(lease.name)
            read = await store.read(CHANNEL, 0, limit=10**6)
            last = len(read)
            # All that was reported as stored, and at most the batch that was not reported yet.
            assert said <= last <= said + 3
            assert [each.id for each in read] == list(range(1, last + 1))
            await store.append(CHANNEL, [line(last + 1, store.replica)], expected=last)
            await store.drop(lease.name)
