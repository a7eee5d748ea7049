"""The Role of the manifests is enough, and each right in it is needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from binderprogress.backends.kubernetes.api import KubeApi
from binderprogress.errors import LaunchFailedError

from ..support.asynchronous import asynchronous
from ..support.cluster import Cluster
from ..support.cluster_builds import RESOLVED
from ..support.cluster_scene import Scene, scene, shipped_rules
from ..support.long import usually

pytestmark = pytest.mark.kubernetes

RULES = shipped_rules()


def rights() -> list[tuple[str, str]]:
    """Return each right: a resource and a verb."""
    return [
        (resource, verb)
        for rule in RULES
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def without(resource: str, verb: str) -> list[dict[str, Any]]:
    """Return the rules, but for one right."""
    rules: list[dict[str, Any]] = []
    for rule in RULES:
        for each in rule["resources"]:
            verbs = [one for one in rule["verbs"] if (each, one) != (resource, verb)]
            rules.append({**rule, "resources": [each], "verbs": verbs})
    return [rule for rule in rules if rule["verbs"]]


async def use_all(there: Scene) -> None:
    """Do all that a server does, and fail if anything is not as it should be."""
    builder = there.builders.builder(patience=2.0)
    assert await builder.check() == {"namespace": there.namespace.name}
    await there.kubelet.add_node("node-1")
    build = there.builders.build(patience=2.0)
    name = await there.kubelet.run()
    await build.step("Pulled the image")
    there.kubelet.write(name, "one")
    await build.says("one")
    # Another server joins it.
    other = there.builders.build(patience=2.0)
    await other.says("one")
    await there.kubelet.exit(name)
    await build.succeeds()
    await other.succeeds()
    await there.namespace.empty()
    left = there.builders.build(patience=2.0)
    await there.kubelet.run()
    left.task.cancel()
    await builder.cancel_build(RESOLVED)
    await there.namespace.empty()


@asynchronous(60)
async def test_they_are_enough(cluster: Cluster) -> None:
    async with scene(cluster) as there:
        await use_all(there)


REFUSED = "Kubernetes is not responding, or does not let this server build."


async def cannot_create(there: Scene) -> None:
    error = await there.builders.build().fails()
    assert str(error) == "Kubernetes does not accept the build."


async def cannot_delete(there: Scene) -> None:
    await there.kubelet.add_node("node-1")
    build = there.builders.build()
    await there.kubelet.exit(await there.kubelet.run())
    await build.succeeds()
    assert len(await there.namespace.pods()) == 1


async def cannot_join(there: Scene) -> None:
    await there.kubelet.add_node("node-1")
    there.builders.build()
    await there.kubelet.run()
    assert str(await there.builders.build().fails()) == REFUSED
    assert len(await there.namespace.pods()) == 1


async def cannot_begin(there: Scene) -> None:
    with pytest.raises(LaunchFailedError, match="does not let this server build"):
        await there.builders.builder().check()
    assert str(await there.builders.build().fails()) == REFUSED
    assert await there.namespace.pods() == []


async def cannot_follow(there: Scene) -> None:
    await there.kubelet.add_node("node-1")
    build = there.builders.build()
    assert str(await build.fails()) == REFUSED


async def cannot_read(there: Scene) -> None:
    await there.kubelet.add_node("node-1")
    build = there.builders.build()
    await there.kubelet.run()
    assert str(await build.fails()) == REFUSED


WITHOUT: dict[tuple[str, str], Callable[[Scene], Awaitable[None]]] = {
    ("pods", "create"): cannot_create,
    ("pods", "delete"): cannot_delete,
    ("pods", "get"): cannot_join,
    ("pods", "list"): cannot_begin,
    ("pods", "watch"): cannot_follow,
    ("pods/log", "get"): cannot_read,
    ("events", "list"): cannot_begin,
    ("events", "watch"): cannot_follow,
}
"""What happens if a right is missing. One that is not here would not be needed."""


@pytest.mark.parametrize(("resource", "verb"), usually(rights(), ("pods", "delete")))
@asynchronous(60)
async def test_each_is_needed(
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    resource: str,
    verb: str,
) -> None:
    monkeypatch.setattr(KubeApi, "rights_patience", 0.5)
    async with scene(cluster, rules=without(resource, verb)) as there:
        await WITHOUT[resource, verb](there)
        assert f'cannot {verb} resource "{resource}"' in caplog.text


def test_no_other_is_named() -> None:
    assert set(rights()) == WITHOUT.keys()
