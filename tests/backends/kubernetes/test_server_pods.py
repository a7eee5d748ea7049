"""What Kubernetes says of the pods of servers, and how it is added to what JupyterHub says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from binderprogress.backends.jupyterhub.pod_events import explained
from binderprogress.backends.kubernetes.api import KubeApi
from binderprogress.backends.kubernetes.builder import KubernetesBuilder
from binderprogress.backends.kubernetes.server_pods import ServerPods
from binderprogress.core.log.reader import Normalizer, Record

from ...support.apiserver import NAMESPACE, ApiServer, api_server
from ...support.asynchronous import asynchronous
from ...support.server_pods import pod_of_server

Progress = asyncio.Queue[dict[str, Any] | None]


class There:
    """The double of an API server, and what a viewer sees of the server of a user.

    Attributes
    ----------
    hub : asyncio.Queue
        What JupyterHub says; None ends it.
    """

    def __init__(self, server: ApiServer, api: KubeApi, pods: ServerPods) -> None:
        self.server, self.api, self.pods = server, api, pods
        self.hub: Progress = asyncio.Queue()
        self.lines: list[str] = []
        self.steps: list[str] = []
        self._more = asyncio.Event()

    async def create(self, name: str, user: str, server: str = "") -> None:
        """Create a pod as KubeSpawner does."""
        await self.api.create(pod_of_server(name, user, server))

    def say(self, name: str, reason: str, message: str) -> dict[str, Any]:
        """Record an event about a pod, and return it."""
        self.server.say(name, reason, message)
        return self.server.events[-1]

    def forward(self, event: dict[str, Any]) -> None:
        """Have JupyterHub say it, as KubeSpawner words it."""
        message = f"{event['lastTimestamp']} [{event['type']}] {event['message']}"
        self.hub.put_nowait({"progress": 50, "raw_event": event, "message": message})

    async def _progress(self) -> AsyncGenerator[dict[str, Any]]:
        while (record := await self.hub.get()) is not None:
            yield record

    async def follow(self, user: str, server: str = "") -> None:
        """Follow a server to the end of what JupyterHub says."""
        reader = Normalizer()
        async with aclosing(explained(self._progress(), self.pods, user, server)) as records:
            async for record in records:
                note = reader.read(Record("jupyterhub", record))
                assert note is not None
                self.lines += [note.message.rstrip().rpartition("] ")[2]] if note.message else []
                self.steps += [note.step.key] if note.step else []
                self._more.set()

    async def shows(self, *lines: str) -> None:
        """Wait until a viewer sees these lines, and no others."""
        await self.has(len(lines))
        assert self.lines == list(lines)

    async def has(self, count: int) -> None:
        """Wait until a viewer sees so many lines."""
        while len(self.lines) < count:
            self._more.clear()
            await self._more.wait()

    async def step(self, number: int, key: str) -> None:
        """Wait for a step."""
        while len(self.steps) < number:
            self._more.clear()
            await self._more.wait()
        assert self.steps[number - 1] == key

    async def is_known(self) -> None:
        """Wait until all changes of pods until now are known."""
        other = There(self.server, self.api, self.pods)
        following = asyncio.create_task(other.follow("marker"))
        await self.create("marker", "marker")
        self.say("marker", "Pulling", "Pulling image")
        await other.shows("Pulling image")
        other.hub.put_nowait(None)
        await following


@asynccontextmanager
async def there(folder: Path, user: str, server: str = "") -> AsyncIterator[There]:
    """Follow the server of a user."""
    async with api_server(folder) as (double, kubeconfig):
        settings = {"kubeconfig": str(kubeconfig), "namespace": NAMESPACE}
        builder = KubernetesBuilder(image_prefix="r/x-", **settings)
        api = KubeApi(NAMESPACE, kubeconfig=str(kubeconfig), timeout=10.0, patience=1.0)
        pods = ServerPods(builder=builder)
        made = There(double, api, pods)
        following = asyncio.create_task(made.follow(user, server))
        try:
            yield made
            made.hub.put_nowait(None)
            await following
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await pods.close()
            await api.close()
            await builder.close()


@asynchronous(20)
async def test_what_jupyterhub_does_not_forward(tmp_path: Path) -> None:
    async with there(tmp_path, "kim") as made:
        await made.create("jupyter-kim", "kim")
        await made.create("jupyter-lea", "lea")
        made.say("jupyter-lea", "Scheduled", "Successfully assigned builds/jupyter-lea to node-1")
        event = made.say("jupyter-kim", "FailedScheduling", "0/3 nodes are available")
        await made.shows("0/3 nodes are available")
        # It is late, and the step is not that any more.
        made.hub.put_nowait({"message": "Server requested", "progress": 0})
        # It is the same event, which is a step again, and no other line.
        made.server.repeat(event)
        await made.step(2, "waiting-for-node")
        made.say("jupyter-kim", "Pulling", 'Pulling image "x"')
        await made.shows("0/3 nodes are available", 'Pulling image "x"')


@asynchronous(20)
async def test_each_event_is_told_once_whoever_is_first(tmp_path: Path) -> None:
    async with there(tmp_path, "kim") as made:
        await made.create("jupyter-kim", "kim")
        ours = made.say("jupyter-kim", "Scheduled", "Successfully assigned x to node-1")
        await made.shows("Successfully assigned x to node-1")
        made.forward(ours)
        # JupyterHub's watch was faster.
        about = {"uid": made.server.pods["jupyter-kim"]["metadata"]["uid"]}
        theirs = {**ours, "involvedObject": about, "message": "Pulling image", "reason": "Pulling"}
        version = str(int(ours["metadata"]["resourceVersion"]) + 1)
        theirs["metadata"] = {"uid": "event-1", "resourceVersion": version}
        made.forward(theirs)
        await made.shows("Successfully assigned x to node-1", "Pulling image")
        assert made.say("jupyter-kim", "Pulling", "Pulling image")["metadata"].items() >= (
            theirs["metadata"].items()
        )
        made.hub.put_nowait({"message": "Server ready", "progress": 100, "ready": True})
        made.say("jupyter-kim", "Started", "Started container notebook")
        await made.has(4)
        assert {*made.lines[2:]} == {"Server ready", "Started container notebook"}


@asynchronous(20)
async def test_what_was_said_before_the_pod_was_known(tmp_path: Path) -> None:
    async with there(tmp_path, "kim") as made:
        await made.create("jupyter-kim", "lea")
        made.say("jupyter-kim", "Scheduled", "Successfully assigned x to node-1")
        await made.create("marker", "kim")
        made.say("marker", "Pulling", "Pulling image")
        await made.shows("Pulling image")
        # The events are of pods that were not this server's until now.
        pod = made.server.pods["jupyter-kim"]
        pod["metadata"]["annotations"]["hub.jupyter.org/username"] = "kim"
        made.server.set("jupyter-kim", "Running", {})
        await made.shows("Pulling image", "Successfully assigned x to node-1")


@asynchronous(20)
async def test_an_earlier_pod_of_the_same_name_does_not_count(tmp_path: Path) -> None:
    async with there(tmp_path, "kim", "work") as made:
        server = made.server
        server.holds_deleted = True
        await made.create("jupyter-kim--other", "kim", "other")
        made.say("jupyter-kim--other", "Pulling", "Pulling another image")
        await made.create("jupyter-kim--work", "kim", "work")
        server.bind("jupyter-kim--work")
        assigned = f"Successfully assigned {NAMESPACE}/jupyter-kim--work to node-1"
        await made.shows(assigned)
        uid = server.pods["jupyter-kim--work"]["metadata"]["uid"]
        assert await made.api.delete("jupyter-kim--work", uid=uid)
        made.say("jupyter-kim--work", "Killing", "Stopping container notebook")
        await made.shows(assigned, "Stopping container notebook")
        await made.is_known()
        # A later launch of the same server.
        later = There(server, made.api, made.pods)
        following = asyncio.create_task(later.follow("kim", "work"))
        server.remove("jupyter-kim--work")
        await made.create("jupyter-kim--work", "kim", "work")
        made.say("jupyter-kim--work", "Pulling", "Pulling image")
        await later.shows("Pulling image")
        later.hub.put_nowait(None)
        await following


@asynchronous(20)
async def test_events_go_on_after_a_cut_and_a_list(tmp_path: Path) -> None:
    async with there(tmp_path, "kim") as made:
        await made.create("jupyter-kim", "kim")
        made.say("jupyter-kim", "Scheduled", "Successfully assigned x to node-1")
        await made.shows("Successfully assigned x to node-1")
        made.server.compact()
        made.server.cut()
        made.say("jupyter-kim", "Pulling", "Pulling image")
        await made.shows("Successfully assigned x to node-1", "Pulling image")


@asynchronous(20)
async def test_without_the_rights_the_log_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(KubeApi, "rights_patience", 0.2)

    def warnings() -> list[str]:
        return [each for each in caplog.messages if "is not shown" in each]

    async with api_server(tmp_path) as (_, kubeconfig):
        builder = KubernetesBuilder(
            image_prefix="r/x-", kubeconfig=str(kubeconfig), namespace=NAMESPACE
        )
        pods = ServerPods(builder=builder, namespace="of-others")

        async def progress() -> AsyncGenerator[dict[str, Any]]:
            while not warnings():  # noqa: ASYNC110 - logs have no event
                await asyncio.sleep(0.01)
            yield {"message": "Server ready", "progress": 100, "ready": True}

        said = [record async for record in explained(progress(), pods, "kim", "")]
        await pods.close()
        await builder.close()
    assert [record["message"] for record in said] == ["Server ready"]
    (message,) = warnings()
    assert message == (
        "What Kubernetes says of the pods of servers is not shown, but for what JupyterHub "
        'forwards: pods is forbidden: User "double" cannot do this. Grant these rights, or set '
        "c.ServerPods.enabled = False."
    )


@asynchronous(20)
async def test_what_ends_the_progress_is_raised(tmp_path: Path) -> None:
    async def progress() -> AsyncGenerator[dict[str, Any]]:
        yield {"message": "Server requested"}
        raise ConnectionError("away")

    async with there(tmp_path, "kim") as made:
        records = explained(progress(), made.pods, "kim", "")
        assert (await anext(records))["message"] == "Server requested"
        with pytest.raises(ConnectionError, match="away"):
            await anext(records)
