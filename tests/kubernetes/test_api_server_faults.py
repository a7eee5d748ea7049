"""A real API server that is stalled, restarted or busy, and connections to it that are cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from binderprogress.backends.kubernetes.api import KubeApi

from ..support.asynchronous import asynchronous
from ..support.cluster import Cluster
from ..support.cluster_builds import SeenBuild
from ..support.cluster_scene import Scene, scene
from ..support.faultyproxy import FaultyProxy

pytestmark = pytest.mark.kubernetes

NOT_RESPONDING = "Kubernetes is not responding, or does not let this server build."


@asynccontextmanager
async def behind(cluster: Cluster) -> AsyncIterator[tuple[FaultyProxy, Scene]]:
    """Set the scene behind a proxy."""
    async with (
        FaultyProxy(cluster.ports["api"]) as proxy,
        scene(cluster, url=f"https://127.0.0.1:{proxy.port}") as there,
    ):
        yield proxy, there


async def running(there: Scene, **settings: float) -> tuple[SeenBuild, str]:
    """Return a build that has printed a line, and its pod's name."""
    await there.kubelet.add_node("node-1")
    build = there.builders.build(**settings)
    name = await there.kubelet.run()
    there.kubelet.write(name, "one")
    await build.says("one")
    return build, name


async def finish(there: Scene, build: SeenBuild, name: str, *, lines: list[str]) -> None:
    """Have a build end, and check what it printed and what is left."""
    await there.kubelet.exit(name)
    await build.succeeds()
    assert build.lines == lines
    await there.namespace.empty()


@pytest.mark.long
@pytest.mark.fault(
    part="Kubernetes",
    fault="all connections to its API server are cut again and again",
    promise="the build goes on; each line of its log is seen once",
)
@asynchronous(60)
async def test_connections_that_are_cut(cluster: Cluster) -> None:
    async with behind(cluster) as (proxy, there):
        build, name = await running(there)
        lines = ["one"]
        for number in range(5):
            proxy.cut()
            lines.append(f"line {number}")
            there.kubelet.write(name, lines[-1])
            await build.says(lines[-1])
        proxy.cut()
        await finish(there, build, name, lines=lines)


@pytest.mark.long
@pytest.mark.fault(
    part="Kubernetes",
    fault="its API server forgets old versions while a watch is cut",
    promise="what happened meanwhile is listed, and the build goes on",
)
@asynchronous(60)
async def test_versions_that_are_forgotten(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with behind(cluster) as (proxy, there):
        build, name = await running(there)
        proxy.refuses = True
        proxy.cut()
        await there.kubelet.say(name, "Killing", "Stopping container builder")
        there.kubelet.write(name, "two")
        await there.kubelet.exit(name)
        await asyncio.to_thread(cluster.compact)
        proxy.refuses = False
        await build.succeeds()
        assert build.lines == ["one", "two"]
        assert sum("Stopping container" in message for message in build.messages) == 1
        await there.namespace.empty()


@pytest.mark.long
@pytest.mark.fault(
    part="Kubernetes",
    fault="its API server is killed and started again during a build",
    promise="the build goes on; each line of its log is seen once",
)
@asynchronous(120)
async def test_an_api_server_that_is_restarted(cluster: Cluster) -> None:
    async with scene(cluster) as there:
        build, name = await running(there)
        cluster.kill("kube-apiserver")
        there.kubelet.write(name, "two")
        cluster.start_api()
        await asyncio.to_thread(cluster.await_api)
        await build.says("two")
        there.kubelet.write(name, "three")
        await finish(there, build, name, lines=["one", "two", "three"])


@pytest.mark.long
@pytest.mark.fault(
    part="Kubernetes",
    fault="its API server accepts connections and does not answer",
    promise="new builds fail and say so; running ones go on when it answers again",
)
@asynchronous(90)
async def test_an_api_server_that_stalls(cluster: Cluster) -> None:
    async with scene(cluster) as there:
        build, name = await running(there)
        with cluster.stalled_api():
            error = await there.builders.build(request_timeout=0.5, patience=1.0).fails()
            assert (error.reason, str(error)) == ("internal", NOT_RESPONDING)
            assert not build.task.done()
        there.kubelet.write(name, "two")
        await finish(there, build, name, lines=["one", "two"])


def flow(namespace: str) -> tuple[dict[str, object], dict[str, object]]:
    """Return what lets the builder have very few requests at a time, and refuses the others."""
    level: dict[str, object] = {
        "metadata": {"name": namespace},
        "spec": {
            "type": "Limited",
            "limited": {"assuredConcurrencyShares": 1, "limitResponse": {"type": "Reject"}},
        },
    }
    rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"], "namespaces": ["*"]}
    subject = {"kind": "User", "user": {"name": "builder"}}
    schema: dict[str, object] = {
        "metadata": {"name": namespace},
        "spec": {
            "matchingPrecedence": 100,
            "priorityLevelConfiguration": {"name": namespace},
            "rules": [{"subjects": [subject], "resourceRules": [rule]}],
        },
    }
    return level, schema


@asynccontextmanager
async def busy(there: Scene) -> AsyncIterator[None]:
    """Have the API server answer 429 to the builder, by priority and fairness."""
    admin, group = there.namespace.admin, "/apis/flowcontrol.apiserver.k8s.io/v1beta1"
    level, schema = flow(there.namespace.name)
    await admin.request("POST", f"{group}/prioritylevelconfigurations", level)
    await admin.request("POST", f"{group}/flowschemas", schema)
    holders: list[asyncio.StreamWriter] = []
    try:
        # Requests whose bodies do not come hold all places.
        while await status(there) != 429:
            holders.append(await half_a_request(there))
        yield
    finally:
        for writer in holders:
            writer.close()
        await admin.request("DELETE", f"{group}/flowschemas/{there.namespace.name}")
        await admin.request("DELETE", f"{group}/prioritylevelconfigurations/{there.namespace.name}")


async def status(there: Scene) -> int:
    """Return the status with which the builder is answered."""
    url = f"{there.cluster.url}{there.namespace.path}/pods"
    headers = {"Authorization": f"Bearer {there.cluster.tokens['builder']}"}
    async with aiohttp.request(
        "GET", url, headers=headers, connector=aiohttp.TCPConnector(ssl=there.cluster.tls)
    ) as answer:
        return answer.status


async def half_a_request(there: Scene) -> asyncio.StreamWriter:
    """Send the builder's request for a pod without its body."""
    cluster = there.cluster
    _, writer = await asyncio.open_connection("127.0.0.1", cluster.ports["api"], ssl=cluster.tls)
    writer.write(
        f"POST {there.namespace.path}/pods HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {cluster.tokens['builder']}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{".encode()
    )
    await writer.drain()
    return writer


@pytest.mark.long
@asynchronous(90)
async def test_an_api_server_that_is_busy(cluster: Cluster) -> None:
    async with scene(cluster) as there:
        await there.kubelet.add_node("node-1")
        async with busy(there):
            error = await there.builders.build(patience=1.0).fails()
            assert str(error) == NOT_RESPONDING
            build = there.builders.build()
            assert await there.namespace.pods() == []
        name = await there.kubelet.run()
        await finish(there, build, name, lines=[])


@asynchronous(30)
async def test_credentials_that_are_wrong(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KubeApi, "rights_patience", 0.5)
    async with scene(cluster) as there:
        config = json.loads(there.builders.kubeconfig.read_text())
        config["users"][0]["user"]["token"] = "wrong"
        there.builders.kubeconfig = cluster.folder / "wrong.kubeconfig"
        there.builders.kubeconfig.write_text(json.dumps(config))
        assert str(await there.builders.build().fails()) == NOT_RESPONDING
        assert "Unauthorized" in caplog.text
