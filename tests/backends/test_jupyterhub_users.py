"""Users that are made before their servers are requested, in a JupyterHub that may misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from binderprogress.backends.base import Attempt, Prepared, Record, RunningServer
from binderprogress.backends.jupyterhub import users
from binderprogress.backends.jupyterhub.launcher import HubLauncher
from binderprogress.errors import LaunchFailedError

from ..support.asynchronous import asynchronous
from ..support.faultyhub import FaultyHub, faulty_hub, nothing, status
from ..support.launch_requests import launch_request, plan_of

REQUEST = launch_request()
PLAN = plan_of(REQUEST)


@asynccontextmanager
async def launcher_of(hub: FaultyHub, **settings: Any) -> AsyncIterator[HubLauncher]:
    values = {"retry_delay": 0.01, "request_timeout": 5.0, **settings}
    launcher = HubLauncher(url=hub.url, api_token="secret", **values)
    try:
        yield launcher
    finally:
        await launcher.close()


async def prepare(launcher: HubLauncher) -> list[Prepared]:
    done: list[Prepared] = []
    await launcher.prepare(PLAN, building=asyncio.Event(), done=done.append)
    return done


async def launch(launcher: HubLauncher) -> list[Record | Attempt | RunningServer]:
    return [item async for item in launcher.launch(REQUEST)]


@asynchronous(30)
async def test_a_user_is_made_once() -> None:
    async with faulty_hub() as hub, launcher_of(hub) as launcher:
        (made,) = await prepare(launcher)
        assert (made.what, made.label) == ("jupyterhub-user", "JupyterHub user made")
        assert 0.0 < made.seconds < 5.0
        assert list(hub.users) == ["a-k"]
        assert isinstance((await launch(launcher))[-1], RunningServer)
        assert hub.asked == ["make user", "start", "progress"]


@asynchronous(30)
async def test_a_launch_waits_for_a_user_that_is_being_made() -> None:
    async with faulty_hub() as hub, launcher_of(hub) as launcher:
        may = asyncio.Event()

        async def later(request: web.Request) -> web.StreamResponse:
            await may.wait()
            return await hub._make_user(request, "a-k")

        hub.faults["make user"].append(later)
        preparing = asyncio.create_task(prepare(launcher))
        while hub.asked != ["make user"]:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        # The environment is there.
        preparing.cancel()
        launching = asyncio.create_task(launch(launcher))
        await asyncio.sleep(0.05)
        assert not launching.done()
        may.set()
        assert isinstance((await launching)[-1], RunningServer)
        assert hub.asked == ["make user", "start", "progress"]


@pytest.mark.parametrize("code", [403, 429, 500])
@asynchronous(30)
async def test_a_user_that_cannot_be_made_is_made_by_the_launch(code: int) -> None:
    async with faulty_hub() as hub, launcher_of(hub) as launcher:
        hub.faults["make user"].append(status(code))
        assert await prepare(launcher) == []
        assert isinstance((await launch(launcher))[-1], RunningServer)
        assert hub.asked == ["make user", "make user", "start", "progress"]


@pytest.mark.fault(
    part="JupyterHub",
    fault="removes the user of a launch during a long build, as its culler does",
    promise="the launch makes the user again",
)
@asynchronous(30)
async def test_a_user_that_was_removed_meanwhile_is_made_again() -> None:
    async with faulty_hub() as hub, launcher_of(hub) as launcher:
        await prepare(launcher)
        del hub.users["a-k"]
        assert isinstance((await launch(launcher))[-1], RunningServer)
        assert hub.asked == ["make user", "start", "make user", "start", "progress"]


@asynchronous(30)
async def test_a_user_that_the_hub_never_has_ends_the_launch() -> None:
    async with faulty_hub() as hub, launcher_of(hub) as launcher:
        hub.always["start"] = status(404)
        with pytest.raises(LaunchFailedError, match="answered 404") as caught:
            await launch(launcher)
        assert caught.value.reason == "hub-refused"
        assert hub.asked.count("make user") == 2


@asynchronous(30)
async def test_the_user_of_a_launch_that_failed_is_removed() -> None:
    async with faulty_hub() as hub, launcher_of(hub) as launcher:
        await prepare(launcher)
        await launcher.discard(PLAN)
        assert hub.users == {}
        hub.asked.clear()
        # Nothing more is there to be removed.
        await launcher.discard(PLAN)
        assert hub.asked == []


@asynchronous(30)
async def test_a_user_that_may_have_been_made_before_a_restart_is_removed() -> None:
    async with faulty_hub() as hub, launcher_of(hub) as launcher:
        hub.users["a-k"] = ""
        await launcher.discard(plan_of(REQUEST, resumed=True))
        assert hub.users == {}


@asynchronous(30)
async def test_a_user_that_may_have_been_made_is_removed() -> None:
    async with faulty_hub() as hub, launcher_of(hub, request_timeout=0.2) as launcher:
        hub.faults["make user"].append(nothing)
        assert await prepare(launcher) == []
        hub.users["a-k"] = ""
        await launcher.discard(PLAN)
        assert hub.users == {}


@asynchronous(30)
async def test_a_hub_that_is_away_has_nothing_to_remove() -> None:
    async with faulty_hub() as hub, launcher_of(hub, api_url="http://127.0.0.1:1/") as launcher:
        assert await prepare(launcher) == []
        await launcher.discard(PLAN)
        assert launcher.cleanups.outstanding() == []


@asynchronous(30)
async def test_the_server_of_a_user_with_a_name_needs_no_user() -> None:
    async with faulty_hub() as hub, launcher_of(hub, username="ada") as launcher:
        assert [done.what for done in await prepare(launcher)] == ["jupyterhub"]
        # So the server has the name of its repository, also if it is the first one.
        assert launcher._api.version == (6, 1)
        await launcher.discard(plan_of(REQUEST, resumed=True))
        assert hub.asked == ["version"]


@asynchronous(30)
async def test_users_of_launches_that_others_went_on_with_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with faulty_hub() as hub, launcher_of(hub) as launcher:
        await prepare(launcher)
        assert "a-k" in launcher._users
        monkeypatch.setattr(users, "_LONGEST", 0.0)
        other = plan_of(launch_request(key="other"))
        await launcher.prepare(other, building=asyncio.Event(), done=lambda _: None)
        assert "a-k" not in launcher._users
