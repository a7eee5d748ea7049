"""Builds without launching."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from binderprogress.backends.base import PairedBackend
from binderprogress.backends.binderhub.backend import UpstreamBuilder, UpstreamLauncher
from binderprogress.backends.binderhub.upstreams import Upstreams
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.phases import Phase
from binderprogress.core.specs import parse
from binderprogress.errors import RefusedError
from binderprogress.launches import Caller, LaunchManager

from ..launches.parts import Feed, events_of, gen_test, unwatched
from ..support.asynchronous import asynchronous
from .clients import Api


async def start(api: Api, spec: object) -> dict[str, str]:
    response = await api.fetch(
        "/api/builds",
        method="POST",
        body=json.dumps({"spec": str(spec)}),
        headers={"Content-Type": "application/json"},
    )
    assert response.code == 201
    links: dict[str, str] = json.loads(response.body)
    assert response.headers["Location"] == links["state_url"]
    return links


@gen_test
async def test_a_build_ends_without_a_server(
    api: Api, launches: LaunchManager, tmp_path: Path
) -> None:
    async with Feed(tmp_path / "fed") as feed:
        links = await start(api, feed.spec)
        build = await feed.build()
        # A launch of the same commit joins it.
        launch = launches.get((await api.start(feed.spec))["id"])
        await unwatched(launch, lambda launch: launch.joined)
        build.finish()
        events = (await api.whole(links["events_url"])).events
        assert (await events_of(launch))[-1].phase is Phase.FAILED  # there is no JupyterHub
        # Another build finds what was built.
        again = (await api.whole((await start(api, feed.spec))["events_url"])).events
        # As BinderHub's clients ask for it.
        async with api.watch(f"/build/{feed.spec}?build_only=True") as stream:
            await stream.until(b'"phase":"ready"')
            alike = stream.events
        assert feed.waiting == 0
    phases = list(dict.fromkeys(event["phase"] for event in events))
    assert phases == ["waiting", "fetching", "building", "built", "ready"]
    # Nothing is pushed here, and no server is started.
    assert events[0]["phases"] == phases
    assert all("phases" not in event for event in events[1:])
    last = events[-1]
    assert last["message"] == "Done! Image built\n"
    assert last["imageName"].startswith("/")
    assert "url" not in last
    assert again[-1]["message"] == "Done! Found built image\n"
    assert again[-1]["imageName"] == alike[-1]["imageName"] == last["imageName"]
    assert [event["phase"] for event in alike] == [event["phase"] for event in again]
    state = await api.state(links)
    assert (state["phase"], state["progress"]) == ("ready", 100)


@gen_test
async def test_a_build_is_cancelled_as_a_launch(api: Api, tmp_path: Path) -> None:
    async with Feed(tmp_path / "fed") as feed:
        links = await start(api, feed.spec)
        build = await feed.build()
        assert (await api.fetch(links["state_url"], method="DELETE")).code == 202
        assert await build.gone()
        assert (await api.state(links))["phase"] == "cancelled"


@gen_test
async def test_wrong_requests(api: Api) -> None:
    for method, body, code in (("GET", None, 405), ("POST", "{}", 400), ("POST", "[", 400)):
        response = await api.fetch(
            "/api/builds",
            method=method,
            body=body,
            headers={"Content-Type": "application/json"},
        )
        assert response.code == code


@asynchronous(30)
async def test_in_front_of_binderhubs_nothing_is_built_alone() -> None:
    """Attack: each would leave a server that nobody uses."""
    upstreams = Upstreams(urls=["https://binder.invalid/"])
    backend = PairedBackend(UpstreamBuilder(upstreams), UpstreamLauncher(upstreams))
    launches = LaunchManager(channels=MemoryChannelStore(), backend=backend)
    with pytest.raises(RefusedError, match="build only to launch"):
        await launches.start(parse("gh/a/b/HEAD"), Caller(build_only=True))
    assert launches.running == 0
    await launches.close()
