"""The Role of the manifests lets the server read what Kubernetes says of servers' pods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from binderprogress.backends.kubernetes.api import KubeApi
from binderprogress.backends.kubernetes.server_pods import ServerPods

from ..support.asynchronous import asynchronous
from ..support.cluster import Cluster
from ..support.cluster_scene import Scene, scene, shipped_rules
from ..support.server_pods import pod_of_server

pytestmark = pytest.mark.kubernetes


@asynccontextmanager
async def server_pods(there: Scene, **settings: str) -> AsyncIterator[ServerPods]:
    """Make the part that reads them."""
    pods = ServerPods(builder=there.builders.builder(), **settings)
    try:
        yield pods
    finally:
        await pods.close()


async def hear(heard: asyncio.Queue[dict[str, Any]], reason: str) -> dict[str, Any]:
    """Wait for an event, of which there may be others before."""
    while (event := await heard.get())["reason"] != reason:
        pass
    return event


@asynchronous(60)
async def test_with_the_rights_of_the_manifests(cluster: Cluster) -> None:
    async with scene(cluster) as there, server_pods(there) as pods:
        heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        with pods.watch("kim", "work", heard.put_nowait):
            # The real scheduler says this of it.
            await there.namespace.create("pods", pod_of_server("jupyter-kim", "kim", "work"))
            waits = await hear(heard, "FailedScheduling")
            assert waits["message"] == "no nodes available to schedule pods"
            await there.kubelet.add_node("node-1")
            assert "Successfully assigned" in (await hear(heard, "Scheduled"))["message"]
            await there.kubelet.say("jupyter-kim", "Pulling", 'Pulling image "x"')
            pulling = await hear(heard, "Pulling")
            assert pulling["metadata"]["uid"]
            assert "managedFields" not in pulling["metadata"]


@asynchronous(60)
async def test_without_a_right(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(KubeApi, "rights_patience", 0.5)
    rules = [rule for rule in shipped_rules() if "events" not in rule["resources"]]
    async with scene(cluster, rules=rules) as there, server_pods(there) as pods:
        with pods.watch("kim", "work", lambda _: pytest.fail("it may not be known")):
            while "is not shown" not in caplog.text:  # noqa: ASYNC110 - logs have no event
                await asyncio.sleep(0.05)
    assert 'cannot list resource "events"' in caplog.text
    assert "c.ServerPods.enabled = False" in caplog.text
