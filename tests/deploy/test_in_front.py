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
from ..support.binderhub import BinderHub, healthy

SPEC = "gh/ada/penguins/HEAD"
VIEWERS = 50


@asynccontextmanager
async def serving(
    *hubs: BinderHub, **settings: Any
) -> AsyncIterator[tuple[Standalone, aiohttp.ClientSession]]:
    for hub in hubs:
        hub.start()
    config = Config({"Upstreams": Config(settings)})
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


async def launch(session: aiohttp.ClientSession, number: int, cookie: str = "") -> str:
    """Launch a repository to its end; gives the cookie that was set, as it is sent again."""
    body = {"spec": f"gh/ada/repository-{number}/HEAD"}
    headers = {"Cookie": cookie} if cookie else {}
    async with session.post("/api/launches", json=body, headers=headers) as response:
        assert response.status == 201
        url = (await response.json())["events_url"]
        cookies = [f"{name}={morsel.value}" for name, morsel in response.cookies.items()]
        for morsel in response.cookies.values():
            assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "lax", "/")
            assert int(morsel["max-age"]) == 4 * 3600
    assert (await watch(session, url))[-1]["phase"] == "ready"
    return "".join(cookies)


@asynchronous(60)
async def test_launches_of_a_browser_stay_at_one_binderhub() -> None:
    hubs = [BinderHub(), BinderHub()]
    async with serving(*hubs, routing="random") as (standalone, session):
        cookie = ""
        for number in range(8):
            cookie = await launch(session, number, cookie)
        assert sorted(len(hub.requests) for hub in hubs) == [0, 8]
        mine = max(hubs, key=lambda hub: len(hub.requests))
        # Other browsers go to any of them.
        for number in range(8, 28):
            await launch(session, number)
        assert all(len(hub.requests) > 0 for hub in hubs)
        # It is full now.
        mine.health = healthy(10, 10)
        (state,) = [one for one in standalone.upstreams.hubs if one.url == mine.url]
        while state.has_room:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        before = len(mine.requests)
        assert await launch(session, 28, cookie) not in {"", cookie}
        assert len(mine.requests) == before


@asynchronous(30)
async def test_no_cookie_is_set_if_the_repository_decides() -> None:
    hubs = [BinderHub(), BinderHub()]
    async with serving(*hubs) as (_, session):
        assert await launch(session, 0) == ""
    async with serving(*hubs, routing="random", host_cookie_age=0) as (_, session):
        assert await launch(session, 1) == ""
