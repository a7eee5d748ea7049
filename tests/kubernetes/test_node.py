"""The whole thing on a real node: from a repository to a server, while our server is killed.

Once with our own builder, and once in a BinderHub with its `KubernetesBuildExecutor`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from binderprogress.backends.kubernetes.prepuller import Prepuller
from binderprogress.backends.kubernetes.registry import Registry
from binderprogress.core.events import Event, decode
from binderprogress.core.kubernetes.nodes import read_node
from binderprogress.core.phases import Phase
from binderprogress.core.specs import from_address

from ..faults.replica import Replica
from ..podman.podman_support import Repository
from ..support.asynchronous import asynchronous
from ..support.cluster import Namespace
from ..support.cluster_launches import BINDERHUB_PYTHON, NAMESPACE, Launching
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
async def serving(node: Launching, replica: Replica) -> AsyncIterator[aiohttp.ClientSession]:
    """Run a server with the rights of the manifests."""
    async with node.cluster.admin() as admin, aiohttp.ClientSession() as session:
        namespace = Namespace(admin, NAMESPACE)
        await namespace.grant(shipped_rules())
        replica.start()
        try:
            await answers(f"{replica.url}versions")
            yield session
        finally:
            replica.left()
            await namespace.revoke()


async def answers(url: str) -> None:
    """Wait until something answers. The relay itself accepts connections before."""
    async with aiohttp.ClientSession() as session:
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(url):
                    return
            await asyncio.sleep(0.1)  # there is no event for it


async def logged(replica: Replica, text: str, *, times: int) -> None:
    """Wait until a server has logged a text so often."""
    while replica.log.count(text) < times:  # noqa: ASYNC110 - logs have no event
        await asyncio.sleep(0.1)


async def start(session: aiohttp.ClientSession, replica: Replica, spec: str) -> Seen:
    """Launch a spec, and watch it."""
    async with session.post(f"{replica.url}api/launches", json={"spec": spec}) as response:
        assert response.status == 201, (await response.text(), replica.log)
        links = await response.json()
    return Seen(session, links["events_url"])


async def check_server(node: Launching, session: aiohttp.ClientSession, ready: Event) -> None:
    """Check that the Jupyter server answers, and that its pod is the only one that is left."""
    status = {"url": f"{ready.url}api/status", "params": {"token": ready.token}}
    async with session.get(**status) as answer:
        assert answer.status == 200
    async with node.cluster.admin() as admin:
        namespace = Namespace(admin, NAMESPACE)
        (pod,) = await namespace.pods()
        assert pod["metadata"]["labels"]["component"] == "singleuser-server"
        assert pod["spec"]["containers"][0]["image"] == ready.image
        # Of the next test.
        await admin.request("DELETE", f"{namespace.path}/pods/{pod['metadata']['name']}")
        await namespace.empty()


async def check_sizes(node: Launching, image: str) -> None:
    """Check that a node says how much it has downloaded, which is less than the image takes."""
    registry = Registry(url=f"http://{node.registry}")
    try:
        downloaded = await registry.size(image)
    finally:
        await registry.close()
    async with node.cluster.admin() as admin:
        # It looks at its images every 30 seconds.
        while True:
            found = await admin.request("GET", "/api/v1/nodes/node-1")
            if image in (images := read_node(found).images):
                break
            await asyncio.sleep(0.5)  # there is no event for it
    # The manifest counts as well.
    assert downloaded < images[image] < downloaded + 10_000
    factor = Prepuller.unpacked_factor.default_value
    assert read_node(found, unpacked_factor=factor).images[image] == int(images[image] * factor)


@pytest.mark.parametrize("kind", ["ours", "binderhub"])
@asynchronous(240)
async def test_a_killed_server_goes_on_with_builds_and_spawns(
    node: Launching, tmp_path: Path, kind: str
) -> None:
    if kind == "binderhub" and not BINDERHUB_PYTHON:
        pytest.skip("BINDERPROGRESS_BINDERHUB_PYTHON is not set; see tests/real/README.md")
    make = node.server if kind == "ours" else node.binderhub
    replica = make(tmp_path, node.cluster.folder / "builder.kubeconfig", NAMESPACE)
    last = WAITS.format(url=f"{node.files_url}{kind}-")
    source = Repository(tmp_path / kind, last=last)
    spec = str(from_address(node.publish(tmp_path / kind), source.commit))
    async with serving(node, replica) as session:
        seen = await start(session, replica, spec)
        await seen.message("it waits")
        await replica.kill()
        if kind == "binderhub":
            # Its executor does not read the log of a pod that has ended.
            replica.start()
            await logged(replica, "Watching logs of ", times=2)
            (node.files / f"{kind}-go").touch()
        else:
            (node.files / f"{kind}-go").touch()
            replica.start()
        await seen.message("it goes on")
        await seen.phase(Phase.LAUNCHING)
        await replica.kill()
        replica.start()
        await seen.watching
        # A second build of these steps finds their layers.
        check(seen.events(), "it waits", "it goes on")
        await check_server(node, session, seen.events()[-1])
        if kind == "ours":
            await check_sizes(node, seen.events()[-1].image or "")


def check(events: list[Event], *once: str) -> None:
    """Check what a viewer saw of the whole launch, and that some lines were there once."""
    assert events[-1].phase is Phase.READY, events[-1]
    numbers = [event.id for event in events]
    assert numbers == list(range(1, len(numbers) + 1))
    phases = list(dict.fromkeys(event.phase for event in events))
    order = list(Phase)
    assert phases == sorted(phases, key=order.index)
    assert {Phase.BUILDING, Phase.PUSHING, Phase.BUILT, Phase.LAUNCHING} <= set(phases)
    messages = [event.message.strip() for event in events]
    for text in once:
        assert messages.count(text) == 1
    of_server = [event.step for event in events if event.phase is Phase.LAUNCHING]
    # BinderHub's first server, which is removed, may have pulled the image.
    is_retried = events[-1].attempt > 1
    steps = ["Found a node", "Pulled the image", *([] if is_retried else ["Pulling the image"])]
    for step in steps:
        # The step of a pull also says how large the image is.
        assert any(each.startswith(step) for each in of_server)
    raw = [(event.source or {}).get("raw_event") for event in events if event.message]
    told = [(each["metadata"]["uid"], each["message"]) for each in raw if each]
    assert len(told) == len(set(told)) >= 4
