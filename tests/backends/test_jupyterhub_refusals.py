"""Servers that a hook or the spawner of a JupyterHub refuses, and their names in JupyterHub 6."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiohttp import web

from binderprogress.backends.base import Attempt, RunningServer
from binderprogress.errors import LaunchFailedError

from ..support.asynchronous import asynchronous
from ..support.faultyhub import FaultyHub, faulty_hub, status
from ..support.launch_requests import launch_request
from .test_jupyterhub_faults import Items, launch, launcher_of


@asynchronous(30)
async def test_what_a_hook_refuses_is_not_asked_for_again() -> None:
    """`SpawnException` has the status 400 by default."""
    async with faulty_hub() as hub, launcher_of(hub) as launcher:
        hub.always["start"] = status(400)
        with pytest.raises(LaunchFailedError, match="as the test says") as failed:
            await launch(launcher)
    assert failed.value.reason == "spawn-failed"
    assert hub.asked.count("start") == 1


@pytest.mark.parametrize("code", [500, 503, 507])
@asynchronous(30)
async def test_what_a_spawner_cannot_do_now_is_tried_again_as_often_as_any_spawn(code: int) -> None:
    async with faulty_hub() as hub, launcher_of(hub) as launcher:
        hub.always["start"] = status(code)
        items: Items = []
        with pytest.raises(LaunchFailedError, match="as the test says") as failed:
            async for item in launcher.launch(launch_request()):
                items.append(item)
    assert failed.value.reason == "spawn-failed"
    assert hub.asked.count("start") == launcher.attempts
    assert [item.number for item in items if isinstance(item, Attempt)] == [2, 3]


@asynchronous(30)
async def test_a_server_that_is_still_stopping_is_asked_for_again() -> None:
    async def pending(_: web.Request) -> web.StreamResponse:
        content = {"status": 400, "message": "ada/ is pending stop"}
        return web.json_response(content, status=400, headers={"X-JupyterHub-Version": "6.1.1"})

    async with faulty_hub() as hub, launcher_of(hub) as launcher:
        hub.faults["start"].append(pending)
        assert isinstance((await launch(launcher))[-1], RunningServer)
    assert hub.asked.count("start") == 2


@pytest.mark.parametrize("version", ["5.4.6", "6.1.1", ""])
@asynchronous(30)
async def test_a_jupyterhub_that_is_known_to_show_names_gets_one(version: str) -> None:
    bodies: list[dict[str, Any]] = []
    names: list[str] = []

    async def answers_version(_: web.Request) -> web.StreamResponse:
        headers = {"X-JupyterHub-Version": version} if version else {}
        return web.json_response({"version": version}, headers=headers)

    async def start(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.json())
        names.append(request.path.rpartition("/")[2])
        return await FaultyHub._start(hub, request, "ada")

    async with faulty_hub() as hub, launcher_of(hub, username="ada") as launcher:
        hub.users["ada"] = ""
        hub.always["version"] = answers_version
        hub.faults["start"].append(start)
        await launcher.check()
        request = launch_request("binder-examples/requirements", "k" * 8)
        assert isinstance([item async for item in launcher.launch(request)][-1], RunningServer)
    (body,), (name,) = bodies, names
    assert name.startswith("binder-examples-requi-")
    assert re.fullmatch("[a-z][a-z0-9-]{,29}", name)
    if version == "6.1.1":
        assert body.pop("display_name") == "binder-examples/requirements"
        (body,) = body.values()
    assert {"image", "repo_url", "token"} <= set(body)
