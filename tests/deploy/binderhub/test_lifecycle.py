"""A BinderHub with our extension is started and stopped, more than once in a process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partialmethod
from typing import Any
from unittest.mock import patch

import aiohttp
import binderhub.app
import pytest
from binderhub.app import BinderHub
from prometheus_client import REGISTRY, generate_latest
from tornado.httpserver import HTTPServer
from traitlets.config import Config

from binderprogress.deploy.binderhub.app import BinderProgressHub, extend

from ...real.servers import free_ports
from ...support.inside import PlayedBuild, PlayedLauncher, played


@pytest.fixture
def config() -> Iterator[Config]:
    (port,) = free_ports(1)
    # BinderHub listens on all addresses.
    listen = partialmethod(HTTPServer.listen, address="127.0.0.1")
    with (
        patch.object(HTTPServer, "listen", listen),
        patch.object(binderhub.app, "Launcher", PlayedLauncher),
    ):
        yield played(BinderHub={"port": port})


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    asyncio.set_event_loop(None)
    loop.close()


async def start_a_launch(port: int) -> Any:
    """Start a launch that waits for its build, and return what the server says of it."""
    url = f"http://127.0.0.1:{port}/api/launches"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json={"spec": "gh/a/b/HEAD"}) as response,
    ):
        assert response.status == 201
        launch = await response.json()
    # Its threads are busy.
    await asyncio.to_thread(PlayedBuild.begun.get, timeout=60)
    return launch


async def is_closed(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


def make(kind: str, config: Config) -> Any:
    if kind == "BinderProgressHub":
        return BinderProgressHub(config=config)
    hub = BinderHub(config=config)
    extend(hub)
    return hub


@pytest.mark.parametrize("kind", ["BinderProgressHub", "install"])
def test_another_one_can_be_started_in_the_process(
    config: Config, loop: asyncio.AbstractEventLoop, kind: str
) -> None:
    """As BinderHub's own tests do."""
    for _ in range(2):
        hub = make(kind, config)
        hub.initialize([])
        hub.start(run_loop=False)
        loop.run_until_complete(start_a_launch(hub.port))
        assert b"binderprogress_launches_running 1.0" in generate_latest(REGISTRY)
        hub.stop()
        assert b"binderprogress_" not in generate_latest(REGISTRY)
        assert loop.run_until_complete(is_closed(hub.port))
    assert PlayedBuild.calls.count("stop") == 2


def test_it_can_be_stopped_before_its_loop_runs(
    config: Config, loop: asyncio.AbstractEventLoop
) -> None:
    hub = make("BinderProgressHub", config)
    hub.initialize([])
    hub.start(run_loop=False)
    hub.stop()
    assert asyncio.all_tasks(loop) == set()
    assert loop.run_until_complete(is_closed(hub.port))


def test_it_can_be_stopped_by_what_runs_in_its_loop(
    config: Config, loop: asyncio.AbstractEventLoop
) -> None:
    stopped = asyncio.Event()
    hub = BinderHub(config=config)
    own_stop = hub.stop

    def stop() -> None:
        own_stop()
        stopped.set()

    hub.stop = stop
    extend(hub)
    hub.initialize([])

    async def run() -> None:
        hub.start(run_loop=False)
        await start_a_launch(hub.port)
        hub.stop()
        async with asyncio.timeout(60):
            await stopped.wait()
        assert await is_closed(hub.port)

    loop.run_until_complete(run())
