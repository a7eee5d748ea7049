"""Memory over time: launches that begin and end, and viewers that come and go, some of them slow.

Each launch ends after 5 to 40 s, or prints 20,000 lines at once. A line is fitted through the
resident memory of the server, without the first quarter of the time, in which caches fill.
"""

from __future__ import annotations

import asyncio
import random
import time
from multiprocessing.connection import Connection
from statistics import linear_regression
from typing import Any

import psutil

from .servers import churning
from .servers.running import open_files, spawned

_INTERVAL = 2.0
"""Seconds between two looks at the memory."""

_REQUEST = "GET /api/launches/{}/events HTTP/1.1\r\nHost: localhost\r\n\r\n"


class _Crowd:
    """Viewers that come and go."""

    def __init__(self, port: int) -> None:
        self.ids: list[str] = []
        self.bytes = 0
        self.visits = 0
        self._port = port

    async def come_and_go(self) -> None:
        """Watch one launch after the other, each for up to 20 s."""
        while True:
            await asyncio.sleep(random.uniform(0, 1))  # noqa: S311 - not a secret
            try:
                async with asyncio.timeout(random.uniform(1, 20)):  # noqa: S311 - not a secret
                    await self._watch(random.choice(self.ids))  # noqa: S311 - not a secret
            except (TimeoutError, OSError):
                continue  # it has seen enough, or was disconnected because it does not read

    async def _watch(self, launch_id: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=4096)
        self.visits += 1
        # Four of five read all there is, and the others a few bytes a second or nothing.
        pause = random.choice([0.0] * 8 + [0.5, 3600.0])  # noqa: S311 - not a secret
        try:
            writer.write(_REQUEST.format(launch_id).encode())
            while data := await reader.read(256 if pause else 1 << 16):
                self.bytes += len(data)
                await asyncio.sleep(pause)
        finally:
            writer.close()


async def _watch_all(
    connection: Connection, process: psutil.Process, viewers: int, seconds: float
) -> dict[str, Any]:
    crowd = _Crowd(connection.recv())
    ended = 0
    while not crowd.ids:
        crowd.ids, ended = connection.recv()
    tasks = [asyncio.create_task(crowd.come_and_go()) for _ in range(viewers)]
    began, samples = time.monotonic(), []
    while (passed := time.monotonic() - began) < seconds:
        samples.append((passed / 60, process.memory_info().rss / 2**20))
        await asyncio.sleep(_INTERVAL)
        while connection.poll():
            crowd.ids, ended = connection.recv()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    steady = samples[len(samples) // 4 :]
    slope, _ = linear_regression(*zip(*steady, strict=True))
    return {
        "slope_mib_per_minute": slope,
        "first_mib": steady[0][1],
        "last_mib": steady[-1][1],
        "most_mib": max(mib for _, mib in samples),
        "ended": ended,
        "visits": crowd.visits,
        "megabytes": crowd.bytes / 1e6,
        "samples": samples,
    }


def compare(*, launches: int, viewers: int, minutes: float) -> dict[str, Any]:
    """Run a server and viewers for so long, and return how its memory grew."""
    open_files(1 << 20)
    ours, theirs = spawned.Pipe()
    process = spawned.Process(target=churning.main, args=(theirs, launches))
    process.start()
    theirs.close()
    load = {"launches": launches, "viewers": viewers, "minutes": minutes}
    try:
        found = asyncio.run(_watch_all(ours, psutil.Process(process.pid), viewers, 60 * minutes))
        return {**load, **found}
    finally:
        ours.send("stop")
        process.join(30)
        if process.is_alive():
            process.kill()
            process.join()


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    head = (
        f"Memory: {result['launches']} launches at a time and {result['viewers']} viewers that "
        f"come and go, for {result['minutes']:g} minutes"
    )
    cells = [
        f"{result['ended']:,}",
        f"{result['visits']:,}",
        f"{result['megabytes']:,.0f} MB",
        f"{result['first_mib']:.0f} MiB",
        f"{result['last_mib']:.0f} MiB",
        f"{result['most_mib']:.0f} MiB",
        f"{result['slope_mib_per_minute']:+.2f} MiB a minute",
    ]
    return (
        f"{head}\n\n|launches ended|visits|read|after a quarter|at the end|most|slope|\n"
        f"|---:|---:|---:|---:|---:|---:|---:|\n| {' | '.join(cells)} |\n"
    )
