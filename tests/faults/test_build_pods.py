"""Servers that are killed or stopped while a pod builds: the next one joins the pod."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from binderprogress.core.events import decode
from binderprogress.core.phases import Phase

from ..support.apiserver import NAMESPACE, ApiServer, api_server
from ..support.asynchronous import asynchronous
from ..support.invariants import Launched, View, World, check
from ..support.lastinghub import LastingHub, lasting_hub
from ..support.watching import Watcher
from .replica import Replica, port_is_back, prepare, serving


def lines(*messages: str) -> list[str]:
    """Return lines as repo2docker prints them."""
    return [json.dumps({"message": f"{text}\n", "phase": "building"}) for text in messages]


class Build:
    """A launch whose pod builds, and a viewer."""

    def __init__(
        self, server: ApiServer, hub: LastingHub, replica: Replica, *, links: dict[str, str]
    ) -> None:
        self.server, self.hub, self.replica, self.links = server, hub, replica, links
        (self.name,) = server.pods
        self.view = View("the viewer")
        self.watching: asyncio.Task[None]

    async def sees(self, text: str) -> None:
        """Wait until the viewer has seen a line."""
        while not any(text in message for message in self.messages()):
            assert not self.watching.done(), self.messages()
            await asyncio.sleep(0.02)  # views have no event

    def messages(self) -> list[str]:
        """Return what the viewer has seen."""
        seen = [data for connection in self.view.connections for _, data in connection.events]
        return [decode(data).message for data in seen]

    async def finish(self) -> None:
        """Have the build end, and then the launch."""
        self.server.write(self.name, *lines("the last line"))
        self.server.exit(self.name)
        await self.launch()

    async def launch(self) -> None:
        """Have the Jupyter server start, and check what the viewer saw."""
        while not self.hub.starting():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.02)
        self.hub.release(self.hub.starting()[0])
        await self.watching
        launched = Launched("the launch", [self.view])
        check([launched], World(servers=self.hub.servers()))
        assert launched.events()[-1].phase is Phase.READY
        assert self.server.pods == {}


@asynccontextmanager
async def building(folder: Path) -> AsyncIterator[Build]:
    spec = prepare(folder)
    async with lasting_hub() as hub, api_server(folder) as (server, config):
        settings = {
            "Standalone__engine": "kubernetes",
            "Storage__url": f"sqlite:///{folder}/launches.sqlite",
            "KubernetesBuilder__local_folders": folder,
            "KubernetesBuilder__kubeconfig": config,
            "KubernetesBuilder__namespace": NAMESPACE,
            # Nothing listens there: no image exists.
            "KubernetesBuilder__image_prefix": "127.0.0.1:9/x-",
        }
        async with (
            serving(folder, hub, **settings) as replica,
            aiohttp.ClientSession() as session,
        ):
            async with session.post(f"{replica.url}api/launches", json={"spec": spec}) as response:
                assert response.status == 201, await response.text()
                links = await response.json()
            await server.created()
            build = Build(server, hub, replica, links=links)
            watcher = Watcher(session, links["events_url"], build.view)
            build.watching = asyncio.create_task(watcher.run())
            server.run(build.name)
            # One before the first phase. Some lines are equal.
            server.write(build.name, "a warning", *lines("one", "two", "two", "three"))
            await build.sees("three")
            try:
                yield build
            finally:
                build.watching.cancel()
                await asyncio.gather(build.watching, return_exceptions=True)


@pytest.mark.fault(
    part="The server",
    fault="is killed while a pod on Kubernetes builds, and starts again",
    promise="the pod goes on and is joined; each line of its log is seen once",
)
@asynchronous(60)
async def test_a_killed_server_joins_its_pod(tmp_path: Path) -> None:
    async with building(tmp_path) as build:
        await build.replica.kill()
        build.server.write(build.name, *lines("two", "while nobody watched"))
        build.replica.start()
        await port_is_back(build.replica.port)
        await build.sees("while nobody watched")
        await build.finish()
        wanted = ["a warning", "one", "two", "two", "three", "two", "while nobody watched"]
        seen = [text.strip() for text in build.messages()]
        assert [text for text in seen if text in wanted] == wanted


@pytest.mark.fault(
    part="The server",
    fault="is killed while a pod on Kubernetes builds, and the build ends meanwhile",
    promise="the rest of its log is seen, and its image is launched",
)
@asynchronous(60)
async def test_a_build_that_ends_while_no_server_runs(tmp_path: Path) -> None:
    async with building(tmp_path) as build:
        await build.replica.kill()
        build.server.write(build.name, *lines("while nobody watched"))
        build.server.exit(build.name)
        build.replica.start()
        await port_is_back(build.replica.port)
        await build.sees("while nobody watched")
        await build.launch()


@asynchronous(60)
async def test_a_launch_that_is_cancelled_deletes_its_pod(tmp_path: Path) -> None:
    async with building(tmp_path) as build, aiohttp.ClientSession() as session:
        async with session.delete(build.links["state_url"]) as response:
            assert response.status < 300, await response.text()
        await build.watching
        while build.server.pods:
            await build.server.next_request()
