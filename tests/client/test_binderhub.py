"""The client with a plain BinderHub, which replays recorded streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from binderprogress.client import AsyncClient, Client, LaunchHandle
from binderprogress.core.events import Event
from binderprogress.core.phases import Phase
from binderprogress.errors import (
    NotFoundError,
    RefusedError,
    ServerUnreachableError,
    TooManyRequestsError,
)

from ..support.asynchronous import asynchronous
from ..support.binderhub import BinderHub, binderhub_in_thread, recorded

SPEC = "gh/binder-examples/requirements/HEAD"
SOON = (0.01, 0.02, 0.02)
LAUNCHING = [event.get("phase") for event in recorded("ok")].index("launching")


@asynccontextmanager
async def a_hub(stream: str = "ok", **options: Any) -> AsyncIterator[tuple[BinderHub, AsyncClient]]:
    hub = BinderHub(stream, **options)
    hub.start()
    try:
        async with AsyncClient(hub.url, pauses=SOON) as client:
            yield hub, client
    finally:
        await hub.stop()


async def all_of(client: AsyncClient, launch: LaunchHandle | str, after: int = 0) -> list[Event]:
    async with aclosing(client.watch(launch, after=after)) as events:
        return [event async for event in events]


@asynchronous(20)
async def test_the_kind_is_detected_and_a_launch_ends_in_a_server() -> None:
    async with a_hub() as (hub, client):
        launch = await client.start(SPEC)
        assert client.kind == "binderhub"
        events = await all_of(client, launch)
        assert [event.id for event in events] == list(range(1, len(events) + 1))
        assert events[-1].url == f"{hub.url}user/someone/"
        assert await all_of(client, launch.id, after=5) == events[5:]
        assert await all_of(client, launch, after=len(events)) == []
        state = await client.state(launch)
        assert (state.phase, state.progress, state.last) == (Phase.READY, 100, len(events))
        assert "STEP 11/11" in await client.log(launch)
        assert (hub.requests, hub.launches) == ([SPEC], 1)
        # BinderHub would keep the connection open for a minute.
        await hub.idle.wait()


@asynchronous(20)
async def test_a_cut_while_building_joins_the_build() -> None:
    async with a_hub(pace=0.01, cuts={1: 12, 2: 5}) as (hub, client):
        events = await all_of(client, await client.start(SPEC))
        assert events[-1].phase is Phase.READY
        assert (len(hub.requests), hub.builds, hub.launches) == (3, 1, 1)
    async with a_hub() as (_, client):
        all_events = await all_of(client, await client.start(SPEC))
    assert [event.message for event in events[:-1]] == [event.message for event in all_events[:-1]]


@pytest.mark.parametrize(("cut", "built"), [(LAUNCHING + 1, False), (0, True)])
@asynchronous(20)
async def test_no_second_server_is_started(cut: int, built: bool) -> None:
    """Not even if the events of an existing image were lost."""
    async with a_hub() as (hub, client):
        if built:
            await all_of(client, await client.start(SPEC))
        had = len(hub.requests)
        hub.cuts = {had + 1: cut}
        try:
            last = (await all_of(client, await client.start(SPEC)))[-1]
            assert (last.phase, last.reason) == (Phase.FAILED, "connection-lost")
        except ServerUnreachableError:
            assert cut == 0, "cut before its answer: `start` says so"
        assert len(hub.requests) == had + 1


@asynchronous(20)
async def test_it_gives_up_when_the_binderhub_is_gone() -> None:
    async with a_hub(pace=0.02) as (hub, client):
        launch = await client.start(SPEC)
        with pytest.raises(ServerUnreachableError, match="could not reconnect"):
            async with aclosing(client.watch(launch)) as events:
                async for event in events:
                    if event.phase is Phase.BUILDING:
                        await hub.kill()
        hub.start()


@asynchronous(20)
async def test_cancelling_disconnects() -> None:
    async with a_hub(pace=0.02) as (hub, client):
        launch = await client.start(SPEC)
        watching = asyncio.create_task(all_of(client, launch))
        await client.cancel(launch)
        last = (await watching)[-1]
        assert (last.phase, last.reason) == (Phase.CANCELLED, "left")
        await hub.idle.wait()
        assert hub.launches == 0


@asynchronous(20)
async def test_refusals() -> None:
    async with a_hub() as (hub, client):
        for status, kind in (
            (403, RefusedError),
            (404, NotFoundError),
            (429, TooManyRequestsError),
            (502, ServerUnreachableError),
        ):
            hub.refusal = status
            with pytest.raises(kind):
                await client.start(SPEC)
        hub.refusal = {"phase": "failed", "status_code": 403, "message": "Forbidden\n"}
        last = (await all_of(client, await client.start(SPEC)))[-1]
        assert last.reason == "refused"
        assert "token" in last.advice
        with pytest.raises(NotFoundError):
            await client.state("nothing")


def test_the_synchronous_client() -> None:
    with binderhub_in_thread() as hub, Client(hub.url, kind="binderhub") as client:
        assert client.launch(SPEC).url == f"{hub.url}user/someone/"
