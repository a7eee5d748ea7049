"""Attack: somebody launches repositories with long logs until the server's memory is full.

What a budget counts is one thing, what the process takes is another: here it is the memory of a
real server process that has to stay within a bound.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from aiohttp import web

from ..support.standalone import post
from .server import Target, target, until

MIB = 2**20
BUDGET = 8 * MIB
LAUNCHES, LINES = 8, 6000
TEXT = "Collecting a-package-with-a-long-name==1.2.3 from a repository that prints what it does"


class Upstream:
    """A BinderHub whose builds print so many lines as fast as they are read, and fail.

    Attributes
    ----------
    lines : int
    """

    def __init__(self) -> None:
        self.lines = 1
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/build/{spec:.*}", self._build)
        app.router.add_get("/health", self._health)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"ok": True, "checks": []})

    async def _build(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for first in range(0, self.lines, 500):
            numbers = range(first, min(first + 500, self.lines))
            block = "".join(event("building", f"{TEXT} {number}\n") for number in numbers)
            await response.write(block.encode())
        await response.write(event("failed", "The build failed.\n").encode())
        return response


def event(phase: str, message: str) -> str:
    return f"data: {json.dumps({'phase': phase, 'message': message})}\n\n"


@contextmanager
def upstream() -> Iterator[Upstream]:
    """Run an upstream in a thread of its own."""
    loop, double = asyncio.new_event_loop(), Upstream()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(double.start(), loop).result(20)
    try:
        yield double
    finally:
        asyncio.run_coroutine_threadsafe(double.stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


def fill(server: Target, double: Upstream, *, launches: int, lines: int) -> int:
    """Launch one repository after the other; return the most memory that the server took."""
    double.lines = lines
    most = 0

    def is_over(state: str) -> bool:
        nonlocal most
        most = max(most, server.memory)
        with urlopen(state, timeout=60) as answer:
            return bool(json.load(answer)["phase"] == "failed")

    for number in range(launches):
        links = post(f"{server.url}api/launches", {"spec": f"gh/mallory/{lines}-{number}/HEAD"})
        until(lambda state=links["state_url"]: is_over(state), timeout=120)
    return max(most, server.memory)


@pytest.mark.fault(
    part="Builds",
    fault="flood their logs, with a real server",
    promise="the memory of the process stays bounded",
)
def test_logs_that_fill_the_budget_do_not_fill_the_memory(
    tmp_path: Path, env: dict[str, str]
) -> None:
    """Eight logs are more than the budget. The process takes what fits, and at most a quarter more.

    16 MiB more are for buffers of connections and for memory that Python keeps.
    """
    config = (
        f"c.LaunchManager.memory_budget = {BUDGET}\n"
        f"c.LaunchManager.disk_budget = {8 * BUDGET}\n"
        # In a database, finished launches take none of this budget.
        "c.Storage.url = 'memory'\n"
        "c.LaunchManager.max_launches_per_client = 0\n"
    )
    with upstream() as double:
        config += f"c.Upstreams.urls = [{double.url!r}]\n"
        with target(tmp_path, env, config=config) as server:
            # What the code needs once it has run.
            before = fill(server, double, launches=2, lines=10)
            most = fill(server, double, launches=LAUNCHES, lines=LINES)
            assert used(server) > BUDGET // 2
            assert most - before < BUDGET * 5 // 4 + 16 * MIB


def used(server: Target) -> int:
    """Return what the server says that it has used of its budget."""
    with urlopen(f"{server.url}health", timeout=60) as answer:
        launches = next(c for c in json.load(answer)["checks"] if c["service"] == "launches")
        return int(launches["memory"]["used"])
