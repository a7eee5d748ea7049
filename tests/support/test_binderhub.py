"""Other tests trust this BinderHub: that it is as strict as the real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from .asynchronous import asynchronous
from .binderhub import BinderHub, binderhub_in_thread, recorded

SPEC = "build/gh/a/b/HEAD"
ACCEPT = {"Accept": "text/event-stream"}


@asynccontextmanager
async def running(stream: str = "ok", **options: Any) -> AsyncIterator[BinderHub]:
    hub = BinderHub(stream, **options)
    hub.start()
    try:
        yield hub
    finally:
        await hub.stop()


async def read(response: aiohttp.ClientResponse, count: int | None = None) -> list[dict[str, Any]]:
    """Read so many events, or up to the end or the cut."""
    events: list[dict[str, Any]] = []
    try:
        async for line in response.content:
            if line.startswith(b"data: "):
                events.append(json.loads(line[6:]))
            if len(events) == count:
                break
    except aiohttp.ClientPayloadError:
        pass  # cut
    return events


def bare(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "url": "…"} if "url" in event else event for event in events]


@asynchronous(20)
async def test_it_sends_what_a_real_one_sent_and_keeps_the_connection() -> None:
    expected = bare(list(recorded("ok")))
    async with running(hold=0.2) as hub, aiohttp.ClientSession(headers=ACCEPT) as session:
        async with session.get(hub.url + SPEC) as response:
            assert response.content_type == "text/event-stream"
            events = await read(response, len(expected))
            assert hub.open == 1
            assert await read(response) == []
        assert bare(events) == expected
        async with session.get(events[-1]["url"]) as server:
            assert server.status == 200
        assert (hub.requests, hub.builds, hub.launches) == (["gh/a/b/HEAD"], 1, 1)


@asynchronous(20)
async def test_a_wrong_accept_is_refused_as_an_event() -> None:
    async with running() as hub, aiohttp.ClientSession() as session:
        for accept in ("*/*", "text/html", "text/event-stream, */*"):
            async with session.get(hub.url + SPEC, headers={"Accept": accept}) as response:
                (event,) = await read(response)
            assert response.status == 200
            assert (event["phase"], event["status_code"]) == ("failed", 400)
        assert (hub.requests, hub.builds) == ([], 0)


@asynchronous(20)
async def test_who_asks_again_joins_the_build_or_gets_another_server() -> None:
    total = len(recorded("ok"))
    async with running() as hub, aiohttp.ClientSession(headers=ACCEPT) as session:
        hub.cuts = {1: 10}
        async with session.get(hub.url + SPEC) as first:
            had = await read(first)
            assert len(had) == 10
            hub.go_on.clear()
            async with session.get(hub.url + SPEC) as second:
                assert await read(second, 10) == had
                hub.go_on.set()
                await read(second, total - 10)
                assert (hub.builds, hub.launches) == (1, 1)
        async with session.get(hub.url + SPEC) as third:
            events = await read(third, 2)
            assert [event["phase"] for event in events] == ["built", "launching"]
            await read(third, 3)
        assert (hub.builds, hub.launches) == (1, 2)


@asynchronous(20)
async def test_who_is_gone_before_the_launch_gets_no_server() -> None:
    built = next(at for at, event in enumerate(recorded("ok")) if event.get("phase") == "built")
    async with running() as hub, aiohttp.ClientSession(headers=ACCEPT) as session:
        for count, launches in ((built, 0), (1, 0), (2, 1)):
            hub.cuts[len(hub.requests) + 1] = count
            async with session.get(hub.url + SPEC) as response:
                assert len(await read(response)) == count
            assert hub.launches == launches


@asynchronous(20)
async def test_after_a_failed_build_it_only_keeps_the_connection_alive() -> None:
    total = len(recorded("badbuild"))
    async with (
        running("badbuild", keepalive=0.01, hold=0) as hub,
        aiohttp.ClientSession(headers=ACCEPT) as session,
        session.get(hub.url + SPEC) as response,
    ):
        assert (await read(response, total))[-1] == {"phase": "failed"}
        alive = [await response.content.readline() for _ in range(20)]
        assert alive.count(b":keepalive\n") >= 5
        assert hub.open == 1
        response.close()
        await hub.idle.wait()


@asynchronous(20)
async def test_pages_of_other_origins() -> None:
    allow = "Access-Control-Allow-Origin"
    async with running() as hub, aiohttp.ClientSession(headers=ACCEPT) as session:
        for allowed, build, versions in (
            ("", None, "*"),
            ("https://x.example", *["https://x.example"] * 2),
        ):
            hub.allow_origin = allowed
            async with session.get(hub.url + SPEC) as response:
                assert response.headers.get(allow) == build
            async with session.get(hub.url + "versions") as response:
                assert response.headers.get(allow) == versions
                assert "binderhub" in await response.json()


def test_it_runs_beside_a_test_without_a_loop() -> None:
    async def first(url: str) -> list[dict[str, Any]]:
        async with aiohttp.ClientSession(headers=ACCEPT) as session, session.get(url) as response:
            return await read(response, 1)

    with binderhub_in_thread("ok", pace=0.01) as hub:
        hub.pause()
        assert asyncio.run(first(hub.url + SPEC)) == [recorded("ok")[0]]
        hub.resume()
