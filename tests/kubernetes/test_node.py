"""The whole thing on a real node: from a repository to a server, while our server is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from binderprogress.core.events import Event, decode
from binderprogress.core.phases import Phase
from binderprogress.core.specs import from_address

from ..faults.replica import Replica
from ..podman.podman_support import Repository
from ..support.asynchronous import asynchronous
from ..support.cluster import Namespace
from ..support.cluster_launches import NAMESPACE, Launching
from ..support.cluster_scene import shipped_rules
from ..support.invariants import View
from ..support.watching import Watcher

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.podman,
    pytest.mark.hub,
    pytest.mark.timeout(1800),
]

# The last step of the build prints, and then waits until a test lets it go on.
WAITS = (
    "echo it waits; until python3 -c "
    "\"from urllib.request import urlopen as u; u('{url}go')\" 2>/dev/null; do sleep 0.2; done; "
    "echo it goes on"
)


class Seen:
    """A viewer of a launch."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.view = View("the viewer")
        self.watching = asyncio.create_task(Watcher(session, url, self.view).run())

    def events(self) -> list[Event]:
        """Return what was seen, in order."""
        return [decode(data) for each in self.view.connections for _, data in each.events]

    async def message(self, text: str) -> None:
        """Wait for a line of the log."""
        await self._until(lambda event: event.message.strip() == text)

    async def phase(self, phase: Phase) -> None:
        """Wait for a phase."""
        await self._until(lambda event: event.phase is phase)

    async def _until(self, condition: Callable[[Event], bool]) -> None:
        while not any(map(condition, self.events())):
            assert not self.watching.done(), [each.message for each in self.events()]
            await asyncio.sleep(0.05)  # views have no event


@asynccontextmanager
async def serving(node: Launching, folder: Path) -> AsyncIterator[Replica]:
    """Run our server with the rights of the manifests."""
    async with node.cluster.admin() as admin:
        await Namespace(admin, NAMESPACE).grant(shipped_rules())
        replica = node.server(folder, node.cluster.folder / "builder.kubeconfig", NAMESPACE)
        replica.start()
        try:
            await answers(f"{replica.url}health")
            yield replica
        finally:
            replica.left()


async def answers(url: str) -> None:
    """Wait until something answers. The relay itself accepts connections before."""
    async with aiohttp.ClientSession() as session:
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(url):
                    return
            await asyncio.sleep(0.1)  # there is no event for it


@asynchronous(240)
async def test_a_killed_server_goes_on_with_builds_and_spawns(
    node: Launching, tmp_path: Path
) -> None:
    source = Repository(tmp_path / "penguins", last=WAITS.format(url=node.files_url))
    spec = str(from_address(node.publish(tmp_path / "penguins"), source.commit))
    async with serving(node, tmp_path) as replica, aiohttp.ClientSession() as session:
        async with session.post(f"{replica.url}api/launches", json={"spec": spec}) as response:
            assert response.status == 201, (await response.text(), replica.log)
            links = await response.json()
        seen = Seen(session, links["events_url"])
        await seen.message("it waits")
        await replica.kill()
        (node.files / "go").touch()
        replica.start()
        await seen.message("it goes on")
        await seen.phase(Phase.LAUNCHING)
        await replica.kill()
        replica.start()
        await seen.watching
        check(seen.events())
        ready = seen.events()[-1]
        status = {"url": f"{ready.url}api/status", "params": {"token": ready.token}}
        async with session.get(**status) as answer:
            assert answer.status == 200
        async with node.cluster.admin() as admin:
            (pod,) = await Namespace(admin, NAMESPACE).pods()
        assert pod["metadata"]["labels"]["component"] == "singleuser-server"
        assert pod["spec"]["containers"][0]["image"] == ready.image


def check(events: list[Event]) -> None:
    """Check what a viewer saw of the whole launch."""
    assert events[-1].phase is Phase.READY, events[-1]
    numbers = [event.id for event in events]
    assert numbers == list(range(1, len(numbers) + 1))
    phases = list(dict.fromkeys(event.phase for event in events))
    order = list(Phase)
    assert phases == sorted(phases, key=order.index)
    assert {Phase.BUILDING, Phase.PUSHING, Phase.BUILT, Phase.LAUNCHING} <= set(phases)
    messages = [event.message.strip() for event in events]
    for text in ("it waits", "it goes on", "Hello from a wheel"):
        assert messages.count(text) == 1
    of_server = [event.step for event in events if event.phase is Phase.LAUNCHING]
    for step in ("Found a node", "Pulling the image", "Pulled the image"):
        assert step in of_server
