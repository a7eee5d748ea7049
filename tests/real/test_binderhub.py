"""A real BinderHub behind us; see README.md for how to run it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from binderprogress.backends.base import PairedBackend
from binderprogress.backends.binderhub.backend import UpstreamBuilder, UpstreamLauncher
from binderprogress.backends.binderhub.upstreams import Upstreams
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core import specs
from binderprogress.core.events import Event
from binderprogress.core.phases import Phase
from binderprogress.launches import Caller, Launch, LaunchManager

from ..launches.parts import follow
from ..support.asynchronous import asynchronous
from ..support.faultyproxy import FaultyProxy
from ..support.processes import BIN

URL = os.environ.get("BINDERPROGRESS_REAL_BINDERHUB", "")
SPEC = os.environ.get("BINDERPROGRESS_REAL_SPEC", "gh/binder-examples/requirements/{new}")
WITHIN = float(os.environ.get("BINDERPROGRESS_REAL_TIMEOUT", "170"))

pytestmark = [
    pytest.mark.skipif(not URL, reason="BINDERPROGRESS_REAL_BINDERHUB names no BinderHub"),
    pytest.mark.timeout(WITHIN + 10),
]


class Front:
    """What is in front of the BinderHub, and a connection to it that can be cut."""

    def __init__(self, proxy: FaultyProxy) -> None:
        self.proxy = proxy
        path = urlsplit(URL).path
        self.upstreams = Upstreams(urls=[f"http://127.0.0.1:{proxy.port}{path}"])
        self.manager = LaunchManager(
            channels=MemoryChannelStore(),
            backend=PairedBackend(
                UpstreamBuilder(self.upstreams), UpstreamLauncher(self.upstreams)
            ),
        )

    async def start(self, spec: str) -> Launch:
        return await self.manager.start(specs.parse(spec), Caller(base_url="http://here/"))


@asynccontextmanager
async def front() -> AsyncIterator[Front]:
    async with FaultyProxy(urlsplit(URL).port or 80) as proxy:
        made = Front(proxy)
        try:
            yield made
        finally:
            await made.manager.close()


def new_spec() -> str:
    """Return a spec whose image is not there yet, if the BinderHub takes any ref."""
    return SPEC.format(new=f"v{uuid.uuid4().hex[:12]}")


async def watch(launch: Launch, until: str = "") -> list[Event]:
    """Watch a launch up to its end, or to a message."""
    seen: list[Event] = []
    async with aclosing(follow(launch)) as events:
        async for event in events:
            seen.append(event)
            if until and until in event.message:
                break
    return seen


async def use(last: Event) -> None:
    """Ask the server something with its token, and stop it: nothing is left behind."""
    assert last.phase is Phase.READY, last
    headers = {"Authorization": f"token {last.token}"}
    async with aiohttp.ClientSession(last.url, headers=headers) as session:
        async with session.get("api/status") as response:
            assert response.status == 200
        async with session.post("api/shutdown") as response:
            assert response.status == 200


@asynchronous(WITHIN)
async def test_fifty_viewers_of_a_build_cost_it_one_connection() -> None:
    async with front() as made:
        launch = await made.start(new_spec())
        seen = await asyncio.gather(*(watch(launch) for _ in range(50)))
        assert all(events == seen[0] for events in seen)
        await use(seen[0][-1])
        assert made.proxy.connections == 1
        launching = [event for event in seen[0] if event.phase is Phase.LAUNCHING]
        assert {"requested", "starting"} <= {event.step_key for event in launching}


@asynchronous(WITHIN)
async def test_launches_share_a_build() -> None:
    async with front() as made:
        spec = new_spec()
        launches = [await made.start(spec) for _ in range(3)]
        ends = [(await watch(launch))[-1] for launch in launches]
        assert len({end.url for end in ends}) == 3
        assert made.proxy.connections == 3
        for end in ends:
            await use(end)


@asynchronous(WITHIN)
async def test_a_build_that_is_cut_goes_on() -> None:
    async with front() as made:
        launch = await made.start(new_spec())
        await watch(launch, until=os.environ.get("BINDERPROGRESS_REAL_LINE", "Step 5/"))
        made.proxy.cut()
        seen = await watch(launch)
        await use(seen[-1])
        assert made.proxy.connections == 2
        lines = [event.message for event in seen if event.phase is Phase.BUILDING]
        again = [line for line in lines if "Reconnecting" in line]
        assert len(again) == 1
        rest = [line for line in lines if line not in again]
        assert len(rest) == len(set(rest)), "lines that were told twice"


@asynchronous(WITHIN)
async def test_a_launch_that_is_cut_says_so() -> None:
    async with front() as made:
        launch = await made.start(new_spec())
        await watch(launch, until="Spawning server")
        made.proxy.cut()
        last = (await watch(launch))[-1]
        assert (last.phase, last.reason) == (Phase.FAILED, "connection-lost")
        assert made.proxy.connections == 1


@asynchronous(WITHIN)
async def test_its_health_is_understood() -> None:
    async with front() as made:
        (hub,) = made.upstreams.hubs
        await made.upstreams.check(hub)
        assert hub.healthy, hub.problem
        assert hub.problem == ""
        assert hub.latency is not None


@asynchronous(WITHIN)
async def test_a_check_runs_a_cell_and_stops_the_server(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with report.open("wb") as file:
        checking = await asyncio.create_subprocess_exec(
            *(BIN / "binderprogress", "check", new_spec(), "--server", URL, "--json"), stdout=file
        )
        assert await checking.wait() == 0
    cases = json.loads(report.read_bytes())["cases"]
    assert [(case["name"], case["status"]) for case in cases] == [
        ("build", "passed"),
        ("launch", "passed"),
        ("kernel", "passed"),
    ]


@asynchronous(WITHIN)
async def test_a_check_that_is_interrupted_stops_the_server() -> None:
    checking = await asyncio.create_subprocess_exec(
        *(BIN / "binderprogress", "check", new_spec(), "--server", URL),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert checking.stdout is not None
    async for line in checking.stdout:
        if line.startswith(b"Spawning server"):
            checking.send_signal(signal.SIGINT)
    assert checking.stderr is not None
    said = await checking.stderr.read()
    assert await checking.wait() == 130
    assert said.decode().splitlines() == [
        "Waiting for the server to start, so that it can be stopped …",
        "Check failed: launch: Interrupted.",
    ]
