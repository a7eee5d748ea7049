"""A server in front of a BinderHub that is restarted joins the build again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from traitlets.config import Config

from binderprogress.core import sse
from binderprogress.deploy.standalone import Standalone

from ..support.asynchronous import asynchronous
from ..support.binderhub import BinderHub

SPEC = "gh/ada/penguins/HEAD"


@asynccontextmanager
async def serving(
    hub: BinderHub, folder: Path
) -> AsyncIterator[tuple[Standalone, aiohttp.ClientSession]]:
    """Run a server until the block ends, which hands its launches over."""
    config = Config()
    config.Upstreams.urls = [hub.url]
    config.Standalone.port = 0
    config.Storage.url = f"sqlite:///{folder}/launches.sqlite"
    config.Storage.log_folder = str(folder / "logs")
    config.History.url = ""
    standalone = Standalone(config=config)
    await standalone.start()
    try:
        async with aiohttp.ClientSession(standalone.url) as session:
            yield standalone, session
    finally:
        await standalone.stop(hand_over=True)


async def read(
    session: aiohttp.ClientSession, launch: str, *, phase: str, least: int = 1
) -> list[dict[str, Any]]:
    """Read a launch until it has enough events, the last one in a phase."""
    decoder = sse.Decoder()
    events: list[dict[str, Any]] = []
    async with session.get(f"/api/launches/{launch}/events") as response:
        assert response.status == 200
        async for chunk in response.content.iter_any():
            for event in decoder.feed(chunk):
                events.append(json.loads(event.data))
                if events[-1]["phase"] == phase and len(events) >= least:
                    return events
    raise AssertionError(f"the stream ended: {events[-1]}")


async def start(session: aiohttp.ClientSession) -> str:
    async with session.post("/api/launches", json={"spec": SPEC}) as response:
        assert response.status == 201
        return str((await response.json())["id"])


def check(seen: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
    assert events[: len(seen)] == seen
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    for field in ("progress", "time"):
        assert [e[field] for e in events] == sorted(e[field] for e in events)


@pytest.mark.fault(
    part="The server",
    fault="gets SIGTERM during a build of a BinderHub",
    promise="the build is joined again, and nothing is told twice",
)
@asynchronous(120)
async def test_the_build_is_joined_and_nothing_is_told_twice(tmp_path: Path) -> None:
    hub = BinderHub(pace=0.01)
    hub.start()
    try:
        async with serving(hub, tmp_path) as (_, session):
            launch = await start(session)
            seen = await read(session, launch, phase="building", least=20)
            hub.pause()
        async with serving(hub, tmp_path) as (_, session):
            hub.resume()
            events = await read(session, launch, phase="ready")
        async with serving(hub, tmp_path) as (_, session):
            other = await read(session, launch, phase="ready")
    finally:
        await hub.stop()
    check(seen, events)
    assert other == events
    assert (hub.builds, hub.launches) == (1, 1)
    untouched = BinderHub()
    untouched.start()
    try:
        async with serving(untouched, tmp_path / "untouched") as (_, session):
            whole = await read(session, await start(session), phase="ready")
    finally:
        await untouched.stop()
    assert [e.get("message") for e in events[:-1]] == [e.get("message") for e in whole[:-1]]


@pytest.mark.fault(
    part="The server",
    fault="gets SIGTERM while a BinderHub starts a Jupyter server",
    promise="another Jupyter server is requested, and the log says why",
)
@asynchronous(120)
async def test_a_server_that_was_starting_is_requested_again(tmp_path: Path) -> None:
    hub = BinderHub()
    hub.gate["ready"] = asyncio.Event()
    hub.start()
    try:
        async with serving(hub, tmp_path) as (_, session):
            launch = await start(session)
            seen = await read(session, launch, phase="launching", least=10)
        async with serving(hub, tmp_path) as (_, session):
            hub.gate["ready"].set()
            events = await read(session, launch, phase="ready")
    finally:
        await hub.stop()
    check(seen, events)
    assert (hub.builds, hub.launches) == (1, 2)
    (told,) = [event for event in events if "was restarted" in event.get("message", "")]
    assert told["attempt"] == 2


@asynchronous(120)
async def test_a_launch_that_is_cancelled_at_any_moment_leaves_the_binderhub(
    tmp_path: Path,
) -> None:
    """Such as while the result of its build is being stored."""
    hub = BinderHub()
    hub.start()
    try:
        async with serving(hub, tmp_path) as (standalone, session):
            launches = standalone.launches
            for _ in range(12):
                hub.pause()
                hub.joined.clear()
                launch = launches.get(await start(session))
                await hub.joined.wait()
                hub.left.clear()
                launches.cancel(launch)
                async with asyncio.timeout(20):
                    await hub.left.wait()
                hub.resume()
                await hub.idle.wait()
    finally:
        await hub.stop()
