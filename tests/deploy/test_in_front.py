"""The server in front of BinderHubs: pages, streams and health."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from traitlets.config import Config

from binderprogress.core import sse
from binderprogress.deploy.standalone import Standalone

from ..support.asynchronous import asynchronous
from ..support.binderhub import BinderHub

SPEC = "gh/ada/penguins/HEAD"
VIEWERS = 50


@asynccontextmanager
async def serving(*hubs: BinderHub) -> AsyncIterator[tuple[Standalone, aiohttp.ClientSession]]:
    for hub in hubs:
        hub.start()
    config = Config()
    config.Upstreams.urls = [hub.url for hub in hubs]
    config.Upstreams.health_interval = 0.05
    config.Standalone.port = 0
    standalone = Standalone(config=config)
    await standalone.start()
    connector = aiohttp.TCPConnector(limit=0)
    try:
        async with aiohttp.ClientSession(standalone.url, connector=connector) as session:
            yield standalone, session
    finally:
        await standalone.stop()
        for hub in hubs:
            await hub.stop()


async def start(session: aiohttp.ClientSession, spec: str = SPEC) -> str:
    async with session.post("/api/launches", json={"spec": spec}) as response:
        assert response.status == 201
        return str((await response.json())["events_url"])


async def watch(session: aiohttp.ClientSession, url: str, **more: Any) -> list[dict[str, Any]]:
    """Read a launch to its end."""
    decoder = sse.Decoder()
    events: list[dict[str, Any]] = []
    async with session.get(url, **more) as response:
        async for chunk in response.content.iter_any():
            events += [json.loads(event.data) for event in decoder.feed(chunk)]
            if events and events[-1]["phase"] in {"ready", "failed", "cancelled"}:
                break
    return events


@asynchronous(30)
async def test_fifty_viewers_cost_a_binderhub_one_stream() -> None:
    hub = BinderHub(pace=0.01)
    async with serving(hub) as (_, session):
        url = await start(session)
        seen = await asyncio.gather(*(watch(session, url) for _ in range(VIEWERS)))
        assert all(events == seen[0] for events in seen)
        assert seen[0][-1]["phase"] == "ready"
        assert (len(hub.requests), hub.builds, hub.launches) == (1, 1, 1)


@asynchronous(30)
async def test_binderhubs_own_endpoint() -> None:
    hub = BinderHub()
    async with serving(hub) as (_, session):
        accept = {"Accept": "text/event-stream"}
        events = await watch(session, f"/build/{SPEC}", headers=accept)
        assert events[-1]["url"] == f"{hub.url}user/someone/"
        assert events[-1]["binder_request"] == f"v2/{SPEC}"
        assert hub.requests == [SPEC]
        # A percent-encoded slash is part of a segment.
        await watch(session, await start(session, "git/https%3A%2F%2Fexample.org%2Fa/main"))
        assert hub.requests[1] == "git/https%3A%2F%2Fexample.org%2Fa/main"


@asynchronous(30)
async def test_health_tells_of_each() -> None:
    one, two = BinderHub(), BinderHub()
    async with serving(one, two) as (standalone, session):
        await watch(session, await start(session))
        await two.kill()
        assert standalone.upstreams.hubs[1].host in two.url
        while standalone.upstreams.hubs[1].healthy:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        async with session.get("/health") as response:
            assert response.status == 200
            health = await response.json()
        launches, hubs = health["checks"]
        assert launches["recent"]["success_rate"] == 1.0
        assert 0 < launches["recent"]["launch_seconds"]["p50"] < 30
        assert (hubs["service"], hubs["ok"]) == ("BinderHubs", True)
        assert [hub["ok"] for hub in hubs["upstreams"]] == [True, False]
        await one.kill()
        while standalone.upstreams.hubs[0].healthy:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        async with session.head("/health") as response:
            assert response.status == 503


@asynchronous(30)
async def test_pages_are_there_and_no_hub_is_started() -> None:
    hub = BinderHub()
    async with serving(hub) as (standalone, session):
        assert standalone.hub is None
        assert standalone.hub_url == ""
        for path in ("/", f"/v2/{SPEC}", "/link", "/metrics", "/versions"):
            async with session.get(path) as response:
                assert response.status == 200, path
        async with session.get("/metrics") as response:
            metrics = await response.text()
        host = standalone.upstreams.hubs[0].host
        assert f'binderprogress_upstreams_running{{upstream="{host}"}} 0.0' in metrics
        assert f'binderprogress_upstreams_healthy{{upstream="{host}"}} ' in metrics
        assert hub.requests == []
