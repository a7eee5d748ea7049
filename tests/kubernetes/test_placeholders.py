"""A node that an autoscaler adds during the build, on a real control plane."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from traitlets.config import Config

from binderprogress.backends.base import (
    BuildResult,
    LaunchRequest,
    PairedBackend,
    ResolvedSpec,
    RunningServer,
)
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.phases import Phase
from binderprogress.core.specs import from_address
from binderprogress.core.timing.breakdown import Trace
from binderprogress.launches import Caller, LaunchManager

from ..launches.parts import follow
from ..support.asynchronous import asynchronous
from ..support.cluster import Cluster, Namespace
from ..support.cluster_kubelet import Kubelet
from ..support.cluster_scene import Scene, scene
from ..support.long import usually
from ..support.repositories import repository
from ..support.server_pods import pod_of_server

pytestmark = pytest.mark.kubernetes

SIZE = {"cpu": "3", "memory": "1Gi"}
"""What a server requests."""


class PodHub:
    """Stands for a JupyterHub with KubeSpawner: a server is ready when its pod has a node."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    async def launch(
        self, request: LaunchRequest[ResolvedSpec, BuildResult]
    ) -> AsyncGenerator[RunningServer, None]:
        name = f"jupyter-{request.key}"
        pod = pod_of_server(name, request.key)
        pod["spec"]["containers"][0]["resources"] = {"requests": SIZE}
        await self._namespace.create("pods", pod)
        await self._namespace.until(
            lambda _, found: found["metadata"]["name"] == name and found["spec"].get("nodeName")
        )
        yield RunningServer(f"http://hub.invalid/user/{request.key}/", request.token)

    async def stop(self, request: LaunchRequest[ResolvedSpec, BuildResult]) -> None:
        raise AssertionError("the launch has failed")

    async def close(self) -> None:
        pass


def is_without_room(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(each.get("reason") == "Unschedulable" for each in conditions)


async def autoscale(namespace: Namespace, kubelet: Kubelet, seconds: float) -> None:
    """Add a node for each pod for which there is no room, as an autoscaler does."""
    seen: set[str] = set()
    async with aclosing(namespace.admin.watch(f"{namespace.path}/pods")) as changes:
        async for _, pod in changes:
            if pod and is_without_room(pod) and pod["metadata"]["uid"] not in seen:
                seen.add(pod["metadata"]["uid"])
                await asyncio.sleep(seconds)
                # One has room for one server.
                await kubelet.add_node(f"added-{len(seen)}", cpu="4")


async def play_build(there: Scene, seconds: float) -> None:
    """Be the kubelet of the build's pod."""
    pod = await there.namespace.until(
        lambda _, found: (
            found["metadata"]["labels"].get("component") == "binderhub-build"
            and found["spec"].get("nodeName")
        )
    )
    name = await there.kubelet.run(pod["metadata"]["name"])
    await asyncio.sleep(seconds)
    await there.kubelet.exit(name)


@contextmanager
def running(*work: asyncio.Task[None]) -> Iterator[None]:
    try:
        yield
    finally:
        for task in work:
            task.cancel()


async def launched(
    cluster: Cluster, folder: Path, work: float, **placeholders: Any
) -> tuple[float, Trace, list[str]]:
    """Launch once, cold. Return how long it took, its trace, and the nodes that were added.

    Building takes `work` seconds, and so does adding a node.
    """
    async with scene(cluster) as there:
        await there.kubelet.add_node("builds", cpu="1")
        config = Config({"Placeholders": placeholders})
        builder = there.builders.builder(local_folders=[str(folder)], config=config)
        backend = PairedBackend(builder, PodHub(there.namespace))
        manager = LaunchManager(channels=MemoryChannelStore(), backend=backend)
        await manager.open()
        # What is needed once only is not part of what is compared.
        await builder.check()
        with running(
            asyncio.create_task(autoscale(there.namespace, there.kubelet, work)),
            asyncio.create_task(play_build(there, work)),
        ):
            began = monotonic()
            launch = await manager.start(from_address((folder / "one").as_uri()), Caller())
            last = [event async for event in follow(launch)][-1]
            seconds = monotonic() - began
        assert last.phase is Phase.READY, last
        added = there.kubelet.nodes[1:]
        trace = launch.trace()
        await manager.close()
        left = [pod["metadata"]["name"] for pod in await there.namespace.pods()]
        assert [name.partition("-")[0] for name in left] == ["jupyter"], left
        return seconds, trace, added


@pytest.mark.parametrize("work", usually([4.0, 60.0], 4.0))
@asynchronous(300)
async def test_a_node_is_added_while_the_image_is_built(
    work: float, cluster: Cluster, tmp_path: Path
) -> None:
    repository(tmp_path / "one", {"README.md": "hello"})
    before, trace_before, nodes_before = await launched(cluster, tmp_path, work)
    seconds, trace, nodes = await launched(cluster, tmp_path, work, enabled=True, requests=SIZE)
    print(f"{work:g} s each: {before:.1f} s without a placeholder, {seconds:.1f} s with one")
    print(*trace.ahead, sep="\n")
    assert before >= 2 * work
    assert seconds < before - work / 2
    # The server takes the place of the pod that kept it.
    assert len(nodes) == len(nodes_before) == 1
    (added,) = [done for done in trace.ahead if done.what == "node"]
    # It takes as long as the build, so it may come a moment later.
    assert added.label in {"Node added", "Node requested"}
    assert work / 2 <= added.saved <= added.end <= trace.seconds
    assert "node" not in [done.what for done in trace_before.ahead]
