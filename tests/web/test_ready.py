"""Complete launches with a real JupyterHub."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from traitlets.config import Config

from binderprogress.backends.jupyterhub.launcher import HubLauncher
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.core.phases import Phase
from binderprogress.core.specs import Spec
from binderprogress.deploy.embedded_jupyterhub import EmbeddedJupyterHub
from binderprogress.launches import LaunchManager

from ..launches.parts import WITHIN, gen_test, local
from ..support.repositories import git, repository
from .clients import Api, messages

pytestmark = pytest.mark.hub


@pytest.fixture
def builder(shared: Path) -> LocalBuilder:
    return LocalBuilder(
        environments=str(shared / "environments"),
        local_folders=[str(shared)],
        link_mode="hardlink",
    )


@pytest.fixture
def settings() -> Config:
    # The streams close as soon as the server is ready.
    return Config({"Web": {"linger": 0.0}})


@pytest.fixture
def spawner(hub: EmbeddedJupyterHub) -> HubLauncher:
    return HubLauncher(url=hub.url, api_url=f"{hub.url}hub/api/", api_token=hub.api_token)


@pytest.fixture(scope="module")
def notebook(shared: Path) -> Spec:
    """A repository. The first test that launches it builds its environment."""
    return local(repository(shared / "notebook", {"hello.txt": "hello\n"}))


async def users(api: Api, hub: EmbeddedJupyterHub) -> dict[str, Any]:
    """Return JupyterHub's users by name."""
    response = await api.fetch(
        f"{hub.url}hub/api/users", headers={"Authorization": f"token {hub.api_token}"}
    )
    return {user["name"]: user for user in json.loads(response.body)}


async def opens(api: Api, ready: dict[str, Any], token: str) -> int:
    """Request a file from a server, and return the status."""
    response = await api.fetch(
        f"{ready['url']}api/contents/hello.txt", headers={"Authorization": f"token {token}"}
    )
    if response.code == 200:
        assert json.loads(response.body)["content"] == "hello\n"
    return response.code


@gen_test
async def test_two_launches_of_a_cold_repository(
    api: Api, hub: EmbeddedJupyterHub, launches: LaunchManager, notebook: Spec
) -> None:
    before = await users(api, hub)
    links = await api.start(notebook)
    socket = await api.socket(links["socket_url"])
    # The second launch uses BinderHub's endpoint, and its connection is lost.
    async with api.watch(f"/build/{notebook}") as cut:
        await cut.until(b'"building"')
    build, mine = await asyncio.gather(
        api.whole(f"/build/{notebook}", Last_Event_ID=cut.ids[-1]), messages(socket)
    )
    theirs = build.events[-1]
    assert (mine[-1]["phase"], theirs["phase"]) == ("ready", "ready")
    assert socket.close_code == 1000

    # BinderHub's fields.
    commit = git(Path(notebook.repo_url.removeprefix("file://")), "rev-parse", "HEAD")
    for ready in (mine[-1], theirs):
        assert ready["progress"] == 100
        assert ready["eta"] == 0
        assert ready["url"].startswith(hub.url)
        assert ready["message"] == f"server running at {ready['url']}\n"
        assert ready["repo_url"] == ready["binder_ref_url"] == notebook.repo_url
        assert ready["binder_launch_host"] == f"{api.url}/"
        assert ready["binder_request"] == f"v2/{notebook}"
        assert ready["binder_persistent_request"] == f"v2/{notebook.at(commit)}"
        assert ready["image"].startswith("/")

    # One build, two servers, two tokens.
    assert mine[-1]["image"] == theirs["image"]
    assert [e["message"] for e in mine if e["phase"] == "built"] == ["Built the environment.\n"]
    assert mine[-1]["url"] != theirs["url"]
    assert mine[-1]["token"] != theirs["token"]
    assert await opens(api, mine[-1], mine[-1]["token"]) == 200
    assert await opens(api, theirs, theirs["token"]) == 200
    assert await opens(api, theirs, mine[-1]["token"]) in {401, 403}
    started = (await users(api, hub)).keys() - before.keys()
    assert len(started) == 2
    assert launches.ended[Phase.READY] == 2

    # The stream is complete, and its progress never decreases.
    assert [event["id"] for event in mine] == list(range(1, mine[-1]["id"] + 1))
    bars = [event["progress"] for event in mine]
    assert bars == sorted(bars)
    assert max(bars[:-1]) < 100
    schema = json.loads((await api.fetch("/api/schema/event.json")).body)
    validator = Draft202012Validator(schema)
    for event in [*mine, *build.events]:
        validator.validate(event)

    # The token is only in the last event.
    token = mine[-1]["token"]
    for path in (links["state_url"], links["log_url"], "/metrics", "/health", "/"):
        assert token.encode() not in (await api.fetch(path)).body
    assert token.encode() not in build.raw
    assert [event for event in mine if token in json.dumps(event)] == mine[-1:]

    # Reconnecting yields the last event again, and starts nothing.
    again = await api.whole(links["events_url"], Last_Event_ID=str(mine[-1]["id"]))
    assert again.events == mine[-1:]
    # Cancelling a launch does not stop its ready server.
    assert (await api.fetch(links["state_url"], method="DELETE")).code == 202
    assert await opens(api, mine[-1], token) == 200
    assert len(await users(api, hub)) == len(before) + 2


@gen_test
async def test_cancelling_during_the_spawn_cleans_up_jupyterhub(
    api: Api, hub: EmbeddedJupyterHub, launches: LaunchManager, notebook: Spec
) -> None:
    before = await users(api, hub)
    links = await api.start(notebook)
    async with api.watch(links["events_url"]) as stream:
        await stream.until(b"Spawning server")
        assert len(await users(api, hub)) == len(before) + 1
        await api.fetch(links["state_url"], method="DELETE")
        # The event is sent before the cleanup.
        await stream.end()
    end = stream.events[-1]
    assert (end["phase"], end["reason"]) == ("cancelled", "cancelled")
    assert stream.ids == [str(number) for number in range(1, end["id"] + 1)]
    assert (await api.fetch(links["log_url"])).body.endswith(b"Cancelled.\n")
    async with asyncio.timeout(WITHIN):
        await asyncio.gather(*launches._running.tasks.values())
    assert (await users(api, hub)).keys() == before.keys()
    assert launches.running == 0
