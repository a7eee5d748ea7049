"""What the real scheduler and the real controllers do to builds, and what a viewer is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from binderprogress.backends.kubernetes import build_pod
from binderprogress.backends.kubernetes.manifest import PodSettings, manifest
from binderprogress.backends.kubernetes.pod_builder import PodBuild, PodProgram

from ..support.asynchronous import asynchronous
from ..support.cluster import Cluster, Namespace
from ..support.cluster_builds import NAME, RESOLVED, SeenBuild
from ..support.cluster_scene import Scene, scene

pytestmark = pytest.mark.kubernetes

GPU = {"limits": {"nvidia.com/gpu": "1"}}
DEDICATED: dict[str, Any] = {"key": "kim.example.org/only", "effect": "NoSchedule"}


async def finish(there: Scene, build: SeenBuild) -> None:
    """Have a build run and end, and check that no pod stays."""
    name = await there.kubelet.run()
    there.kubelet.write(name, "built")
    await build.says("built")
    await there.kubelet.exit(name)
    await build.succeeds()
    await there.namespace.empty()


@pytest.mark.parametrize(
    ("settings", "node", "message"),
    [
        ({"resources": {"requests": {"cpu": "8"}}}, {"cpu": "16"}, "Insufficient cpu"),
        ({"resources": {"requests": {"memory": "9Gi"}}}, {"memory": "16Gi"}, "Insufficient memory"),
        ({"resources": GPU}, {"nvidia.com__gpu": "1"}, "Insufficient nvidia.com/gpu"),
    ],
    ids=["cpu", "memory", "gpu"],
)
@asynchronous(60)
async def test_no_node_has_room(
    cluster: Cluster, settings: dict[str, Any], node: dict[str, str], message: str
) -> None:
    async with scene(cluster) as there:
        await there.kubelet.add_node("small")
        build = there.builders.build(**settings)
        await build.step("Waiting for a node")
        await build.says(message)
        assert not build.task.done()
        await there.kubelet.add_node("large", **node)
        await build.step("Found a node")
        await finish(there, build)
        assert build.steps[0] == "Waiting for a node"


@asynchronous(60)
async def test_nodes_that_are_kept_for_others(cluster: Cluster) -> None:
    async with scene(cluster) as there:
        await there.kubelet.add_node("reserved", taints=[DEDICATED])
        build = there.builders.build()
        await build.says("had taint")
        build.task.cancel()
        await there.builders.builder().cancel_build(RESOLVED)
        await there.namespace.empty()
        # Builds may be let in, and are on nodes of z2jh's users by themselves.
        await finish(there, there.builders.build(tolerations=[DEDICATED]))


async def urgent_pod(namespace: Namespace) -> None:
    """Create a pod that is more important than builds."""
    container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": "3"}}}
    # Every cluster has this class. One that has just been made is not known to all its parts.
    pod = {"containers": [container], "priorityClassName": "system-cluster-critical"}
    await namespace.create("pods", {"metadata": {"name": "urgent"}, "spec": pod})


@asynchronous(60)
async def test_a_pod_that_is_more_important(cluster: Cluster) -> None:
    async with scene(cluster) as there:
        await there.kubelet.add_node("node-1")
        build = there.builders.build(resources={"requests": {"cpu": "3"}})
        name = await there.kubelet.run()
        there.kubelet.write(name, "one")
        await build.says("one")
        await urgent_pod(there.namespace)
        error = await build.fails()
        assert error.reason == "evicted"
        assert build.steps[-1] == "Removed from its node"
        assert NAME not in [pod["metadata"]["name"] for pod in await there.namespace.pods()]


@pytest.mark.long
@asynchronous(90)
async def test_a_node_that_is_lost(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_pod, "_KUBELET_GRACE", 1.0)
    async with scene(cluster) as there:
        # If all nodes are lost, Kubernetes believes that its own network is broken, and waits.
        for node in ("node-1", "node-2"):
            await there.kubelet.add_node(node)
        # Pods of others, which are joined, may have less time to end than ours.
        build_of = PodBuild(
            repo_url="https://github.com/user/repo",
            commit=RESOLVED.commit,
            image=there.builders.builder().image(RESOLVED),
        )
        quick = manifest(
            PodSettings(build_image="quay.io/x"), build_of, PodProgram(arguments=[]), name=NAME
        )
        quick["spec"]["terminationGracePeriodSeconds"] = 1
        await there.namespace.create("pods", quick)
        build = there.builders.build()
        name = await there.kubelet.run()
        there.kubelet.write(name, "one")
        await build.says("one")
        (pod,) = await there.namespace.pods()
        there.kubelet.lose(pod["spec"]["nodeName"])
        error = await build.fails()
        assert error.reason == "evicted"
        assert str(error) == "The machine that it ran on does not respond any more."
        await there.namespace.empty()


@asynchronous(60)
async def test_a_quota(cluster: Cluster) -> None:
    async with scene(cluster) as there:
        quota = {"metadata": {"name": "builds"}, "spec": {"hard": {"pods": "0"}}}
        await there.namespace.create("resourcequotas", quota)
        await there.namespace.until(
            lambda _, found: found.get("status", {}).get("hard"), "resourcequotas"
        )
        error = await there.builders.build().fails()
        assert error.reason == "quota"
        assert str(error) == (
            f'Kubernetes does not accept the build: pods "{NAME}" is forbidden: exceeded quota: '
            "builds, requested: pods=1, used: pods=0, limited: pods=0"
        )


@asynchronous(60)
async def test_a_limit_of_containers(cluster: Cluster) -> None:
    async with scene(cluster) as there:
        limit = {"type": "Container", "max": {"memory": "1Gi"}}
        body = {"metadata": {"name": "small"}, "spec": {"limits": [limit]}}
        await there.namespace.create("limitranges", body)
        error = await there.builders.build(resources={"limits": {"memory": "2Gi"}}).fails()
        assert str(error) == (
            f'Kubernetes does not accept the build: pods "{NAME}" is forbidden: maximum memory '
            "usage per Container is 1Gi, but limit is 2Gi"
        )
        assert await there.namespace.pods() == []


@asynchronous(60)
async def test_two_servers_build_once(cluster: Cluster) -> None:
    async with scene(cluster) as there:
        await there.kubelet.add_node("node-1")
        builds = [there.builders.build() for _ in range(3)]
        name = await there.kubelet.run()
        there.kubelet.write(name, "one", "two")
        for build in builds:
            await build.says("two")
        await there.kubelet.exit(name)
        await asyncio.gather(*(build.succeeds() for build in builds))
        assert [build.lines for build in builds] == [["one", "two"]] * 3
        await there.namespace.empty()


@asynchronous(60)
async def test_a_pod_that_is_still_ending(cluster: Cluster) -> None:
    async with scene(cluster) as there:
        await there.kubelet.add_node("node-1")
        there.kubelet.holds_deleted = True
        builder = there.builders.builder()
        first = SeenBuild(builder, RESOLVED)
        await there.kubelet.run()
        first.task.cancel()
        await builder.cancel_build(RESOLVED)
        (pod,) = await there.namespace.pods()
        assert "deletionTimestamp" in pod["metadata"]
        second = there.builders.build()
        new = await there.namespace.until(
            lambda _, found: found["metadata"]["uid"] != pod["metadata"]["uid"]
        )
        assert new["metadata"]["name"] == NAME
        there.kubelet.holds_deleted = False
        await finish(there, second)
