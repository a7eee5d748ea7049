"""Stores: what it costs to keep launches in a database, compared with memory in the same run.

First, a build prints as fast as it can, and each line becomes a stored event, as in `ingest`. Then,
many channels get a few events a second each, as many launches that run. Of these, it is measured
what an event costs, and how long it takes from `append` until it is stored. With PostgreSQL, a
second replica watches all of them, in the same process.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any

from binderprogress.channels.base import ChannelStore
from binderprogress.channels.database.store import DatabaseStore
from binderprogress.channels.durable import DurableStore
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.events import Encoded, Event
from binderprogress.core.phases import Phase
from tests.support.postgresql import postgresql, programs

from .ingest import ingest

LOG = logging.getLogger(__name__)
LEASE = "launch/benchmark"
KEY = secrets.token_hex(32)


@contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/launches.sqlite"


def _kinds() -> dict[str, AbstractContextManager[str]]:
    """Return the databases that there are: what yields their URLs."""
    kinds: dict[str, AbstractContextManager[str]] = {
        "memory": nullcontext("memory"),
        "sqlite": _sqlite(),
    }
    if programs() is not None:
        kinds["postgresql"] = postgresql()
    return kinds


def _make(url: str) -> ChannelStore:
    return MemoryChannelStore() if url == "memory" else DatabaseStore(url, keys=KEY, log=LOG)


@asynccontextmanager
async def _open(url: str) -> AsyncIterator[ChannelStore]:
    store = _make(url)
    if not isinstance(store, DurableStore):
        yield store
        return
    await store.open()
    try:
        yield store
    finally:
        await store.shutdown()


class _Load:
    """Channels that get events at a steady rate, each with a writer."""

    def __init__(self, store: ChannelStore, channels: int, rate: float, seconds: float) -> None:
        self.ids = [secrets.token_hex(16) for _ in range(channels)]
        self.count = max(int(rate * seconds), 1)
        self.stored: list[float] = []
        """Seconds from `append` until it returned."""
        self.seen: list[float] = []
        """Seconds from `append` until the other replica could read it."""
        self._store = store
        self._rate = rate
        self._appended: dict[tuple[str, int], float] = {}
        self._line = "x" * 150 + "\n"

    async def run(self, viewer: ChannelStore | None) -> None:
        for channel_id in self.ids:
            await self._store.create(channel_id, lease=LEASE)
            if viewer is not None:
                self._watch(viewer, channel_id)
        self.began = time.monotonic()
        await asyncio.gather(*map(self._write, range(len(self.ids))))
        self.seconds = time.monotonic() - self.began
        if viewer is not None:
            async with asyncio.timeout(30):
                while len(self.seen) < len(self.stored):  # noqa: ASYNC110 - the last ones come
                    await asyncio.sleep(0.01)

    async def _write(self, place: int) -> None:
        channel_id = self.ids[place]
        # One after the other, not all at once.
        due = self.began + place / len(self.ids) / self._rate
        for number in range(1, self.count + 1):
            await asyncio.sleep(due - time.monotonic())
            due += 1 / self._rate
            batch = [_event(number, self._line)]
            began = self._appended[channel_id, number] = time.monotonic()
            await self._store.append(channel_id, batch, expected=number - 1)
            self.stored.append(time.monotonic() - began)

    def _watch(self, viewer: ChannelStore, channel_id: str) -> None:
        seen = 0

        def listener(last: int, closed: bool) -> None:
            nonlocal seen
            while seen < last:
                seen += 1
                self.seen.append(time.monotonic() - self._appended.pop((channel_id, seen)))

        viewer.watch(channel_id, listener)


def _event(number: int, message: str) -> Encoded:
    return Encoded.of(
        Event(id=number, phase=Phase.BUILDING, time=0.0, elapsed=0.0, progress=0.0, message=message)
    )


async def _measure(
    url: str, *, lines: int, channels: int, rate: float, seconds: float
) -> dict[str, float]:
    gc.freeze()
    shared = url.startswith("postgresql")
    line = await ingest(_make(url), lines)
    async with _open(url) as store, _open(url if shared else "memory") as other:
        if isinstance(store, DurableStore):
            await store.lease(LEASE, b"")
        load = _Load(store, channels, rate, seconds)
        before = store.commits if isinstance(store, DatabaseStore) else 0
        cpu = time.process_time()
        await load.run(other if shared else None)
        cpu = time.process_time() - cpu
        commits = store.commits - before if isinstance(store, DatabaseStore) else 0
    events = len(load.stored)
    rates = {"commits_per_second": commits / load.seconds} if commits else {}
    return {
        **rates,
        "line_us": line,
        "event_us": cpu / events * 1e6,
        "events_per_second": events / load.seconds,
        **_percentiles("stored", load.stored),
        **_percentiles("seen", load.seen),
    }


def _percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    seconds.sort()
    return {
        f"{name}_{title}_ms": seconds[int(len(seconds) * share)] * 1000
        for title, share in (("p50", 0.5), ("p99", 0.99))
        if seconds
    }


def compare(*, lines: int, channels: int, rate: float, seconds: float) -> dict[str, Any]:
    """Measure all stores."""
    found: dict[str, Any] = {"lines": lines, "channels": channels, "rate": rate, "stores": {}}
    for name, kind in _kinds().items():
        with kind as url:
            found["stores"][name] = asyncio.run(
                _measure(url, lines=lines, channels=channels, rate=rate, seconds=seconds)
            )
    return found


_NAMES = {"memory": "memory", "sqlite": "SQLite", "postgresql": "PostgreSQL, two replicas"}


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    memory = result["stores"]["memory"]
    load = f"{result['channels']} channels, each {result['rate']:g} events/s"
    lines = [
        f"Stores: {result['lines']:,} lines of repo2docker; {load}",
        "",
        "|store|CPU per line|to memory|CPU per event|commits/s|stored p50|p99|replica p50|p99|",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in result["stores"].items():
        ratio = row["line_us"] / memory["line_us"]
        cells = [
            _NAMES[name],
            f"{row['line_us']:.1f} µs",
            f"{ratio:.2f}",
            f"{row['event_us']:.0f} µs",
            f"{row['commits_per_second']:.0f}" if "commits_per_second" in row else "–",
            *(f"{row[key]:.1f} ms" if key in row else "–" for key in _MILLISECONDS),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


_MILLISECONDS = ("stored_p50_ms", "stored_p99_ms", "seen_p50_ms", "seen_p99_ms")
