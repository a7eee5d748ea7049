"""Builds in pods: what many builds and viewers cost a server, and what it asks Kubernetes for.

The server is a process of its own. Kubernetes is the strict double of the tests, in this process,
which also plays the scheduler, the kubelet, JupyterHub and the viewers. All pods run at the same
time. The same builds are measured with one viewer each and with many, because viewers are to add
no requests.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import psutil

from binderprogress.core.specs import from_address
from tests.faults.replica import Replica, prepare, serving
from tests.support.apiserver import NAMESPACE, ApiServer, api_server
from tests.support.lastinghub import LastingHub, lasting_hub
from tests.support.repositories import commit

_AT_A_TIME = 20
_WITHIN = 600.0
"""Maximum seconds of one measurement. Machines may be slow."""


class World(NamedTuple):
    """What is measured, and what plays everything else."""

    replica: Replica
    kubernetes: ApiServer
    hub: LastingHub
    session: aiohttp.ClientSession


@asynccontextmanager
async def _world(folder: Path) -> AsyncIterator[World]:
    """Run a server in front of doubles of Kubernetes and JupyterHub."""
    async with lasting_hub() as hub, api_server(folder) as (kubernetes, config):
        settings = {
            "Standalone__engine": "kubernetes",
            "KubernetesBuilder__local_folders": folder,
            "KubernetesBuilder__kubeconfig": config,
            "KubernetesBuilder__namespace": NAMESPACE,
            # Nothing listens there: no image exists.
            "KubernetesBuilder__image_prefix": "127.0.0.1:9/x-",
            "LaunchManager__max_launches": 10_000,
        }
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            serving(folder, hub, **settings) as replica,
            aiohttp.ClientSession(connector=connector) as session,
        ):
            yield World(replica, kubernetes, hub, session)


async def _launch(world: World, specs: list[str]) -> list[str]:
    """Launch all of them. Return the addresses of their events."""
    turns = asyncio.Semaphore(_AT_A_TIME)

    async def one(spec: str) -> str:
        url = f"{world.replica.url}api/launches"
        async with turns, world.session.post(url, json={"spec": spec}) as response:
            assert response.status == 201, await response.text()
            links = await response.json()
            return str(links["events_url"])

    return list(await asyncio.gather(*map(one, specs)))


async def _view(world: World, url: str, watching: asyncio.Queue[None]) -> int:
    """Watch a launch until it is ready. Return how many lines of the build came."""
    forever = aiohttp.ClientTimeout(total=None)
    lines = 0
    async with world.session.get(url, timeout=forever) as response:
        watching.put_nowait(None)
        last = b""
        async for line in response.content:
            if line.startswith(b"data:"):
                lines += b'"message":"line ' in line
                last = line
        assert b'"phase":"ready"' in last, last
    return lines


async def _print(world: World, *, lines: int, rate: float) -> None:
    """Have all builds print and end, and start their servers."""
    names = list(world.kubernetes.pods)
    for number in range(lines):
        for name in names:
            world.kubernetes.write(name, f"line {number}")
        await asyncio.sleep(1 / rate)
    for name in names:
        world.kubernetes.exit(name)
    ready = 0
    while ready < len(names):
        for user in world.hub.starting():
            world.hub.release(user)
            ready += 1
        await asyncio.sleep(0.01)  # there is no event for it


async def _measure(
    folder: Path, *, builds: int, viewers: int, lines: int, rate: float
) -> dict[str, Any]:
    """Return what `viewers` of each of the builds cost."""
    address = prepare(folder)
    repository = folder / "repository"
    refs = [commit(repository, {}, str(number)) for number in range(builds)]
    async with _world(folder) as world:
        urls = await _launch(world, [str(from_address(address, ref)) for ref in refs])
        await world.kubernetes.created(builds)
        watching: asyncio.Queue[None] = asyncio.Queue()
        tasks = [
            asyncio.create_task(_view(world, url, watching)) for url in urls for _ in range(viewers)
        ]
        for _ in tasks:
            await watching.get()
        before = world.replica.cpu
        for name in list(world.kubernetes.pods):
            world.kubernetes.run(name)
        await _print(world, lines=lines, rate=rate)
        seen = await asyncio.gather(*tasks)
        while world.kubernetes.pods:
            await world.kubernetes.next_request()
        cpu = world.replica.cpu - before
        memory = psutil.Process(world.replica.running.process.pid).memory_info().rss
        return {
            "viewers": len(tasks),
            "delivered": sum(seen),
            "lost": builds * viewers * lines - sum(seen),
            "cpu_seconds": cpu,
            "cpu_us_per_event": cpu / max(sum(seen), 1) * 1e6,
            "memory_mb": memory / 2**20,
            "requests": _each(world.kubernetes.requests, builds),
        }


def _each(requests: Counter[str], builds: int) -> dict[str, float]:
    """Return the requests for each build, by their kind."""
    return {kind: count / builds for kind, count in sorted(requests.items())}


def compare(*, builds: int, viewers: int, lines: int, rate: float) -> dict[str, Any]:
    """Measure builds with one viewer each, and with many.

    Parameters
    ----------
    builds : int
        How many there are at a time.
    viewers : int
        Of all builds together.
    lines : int
        That each build prints.
    rate : float
        Lines a second of each build.
    """
    rows = []
    for count in (1, max(viewers // builds, 1)):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            work = _measure(Path(folder), builds=builds, viewers=count, lines=lines, rate=rate)
            rows.append(asyncio.run(asyncio.wait_for(work, _WITHIN)))
    return {"builds": builds, "lines": lines, "rate": rate, "rows": rows}


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    load = f"{result['builds']} at a time, each with {result['lines']} lines"
    lines = [
        f"Builds in pods: {load}, {result['rate']:g} a second",
        "",
        "|viewers|lost|CPU|CPU per event|memory|requests per build|",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['viewers']} | {row['lost']} | {row['cpu_seconds']:.1f} s "
        f"| {row['cpu_us_per_event']:.1f} µs | {row['memory_mb']:.0f} MB "
        f"| {sum(row['requests'].values()):.2f} |"
        for row in result["rows"]
    ]
    kinds = ", ".join(
        f"{kind} {count:.2f}" for kind, count in result["rows"][-1]["requests"].items()
    )
    return "\n".join([*lines, "", f"Requests per build: {kinds}", ""])
