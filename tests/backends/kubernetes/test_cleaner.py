"""Build pods that are left, against the strict double of the API server."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from binderprogress.backends.base import ResolvedSpec
from binderprogress.backends.kubernetes import cleaner
from binderprogress.backends.kubernetes.builder import KubernetesBuilder
from binderprogress.core import specs
from binderprogress.core.kubernetes.names import build_name

from ...support.apiserver import NAMESPACE, ApiServer
from ...support.asynchronous import asynchronous
from .test_build_pod import COMMIT, NAME, RESOLVED, Run, cluster

OTHER = ResolvedSpec(specs.parse("gh/user/another/HEAD"), COMMIT)


def put(
    server: ApiServer,
    name: str,
    phase: str = "Running",
    *,
    age: float = 60.0,
    installation: str = "",
) -> None:
    """Have a pod there, as the API server would list it."""
    metadata: dict[str, Any] = {
        "name": name,
        "uid": f"uid of {name}",
        "namespace": NAMESPACE,
        "labels": {"name": name, "component": "binderhub-build"},
        "creationTimestamp": (datetime.now(UTC) - timedelta(seconds=age)).isoformat(),
    }
    if installation:
        metadata["annotations"] = {"binderprogress/installation": installation}
    server.pods[name] = {"metadata": metadata, "spec": {}, "status": {"phase": phase}}


async def clean_up(builder: KubernetesBuilder, *wanted: ResolvedSpec) -> None:
    async def those() -> list[ResolvedSpec]:
        return list(wanted)

    await builder.clean_up(those)


@asynchronous(20)
async def test_what_is_left_is_removed_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with cluster(tmp_path) as there:
        put(there.server, "finished", "Succeeded", age=1000)
        put(there.server, "just-finished", "Succeeded")
        put(there.server, "aged", age=5000)
        put(there.server, "orphaned", installation="ours")
        put(there.server, "of-another-installation", installation="theirs")
        put(there.server, "of-a-binderhub")
        put(there.server, build_name(OTHER.spec, COMMIT), installation="ours")
        builder = there.builder(active_deadline=3600)
        builder.belong_to("ours")
        await clean_up(builder, OTHER)
        left = {"just-finished", "of-another-installation", "of-a-binderhub"}
        assert there.server.pods.keys() == left | {build_name(OTHER.spec, COMMIT)}
        assert builder.cleaner.removed == {"finished": 1, "aged": 1, "orphaned": 1}
    assert "Removed the pod aged: it is aged." in caplog.text


@asynchronous(20)
async def test_pods_name_their_installation(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        builder = there.builder()
        builder.belong_to("ours")
        run = Run(builder, RESOLVED)
        await there.server.created()
        annotations = there.server.pods[NAME]["metadata"]["annotations"]
        assert annotations["binderprogress/installation"] == "ours"
        run.task.cancel()


@asynchronous(20)
async def test_a_pod_that_is_followed_here_is_left_to_its_build(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        builder = there.builder()
        builder.belong_to("ours")
        put(there.server, NAME, "Running", age=100_000, installation="ours")
        await builder._watcher.open()
        with builder._watcher.watch(NAME):
            await clean_up(builder)
            assert NAME in there.server.pods
        await clean_up(builder)
        assert NAME not in there.server.pods


@asynchronous(20)
async def test_only_so_many_are_removed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cleaner, "_MOST", 3)
    async with cluster(tmp_path) as there:
        for number in range(5):
            put(there.server, f"finished-{number}", "Failed", age=1000)
        builder = there.builder()
        await clean_up(builder)
        assert len(there.server.pods) == 2
        assert "There are 5 pods to be removed." in caplog.text


@asynchronous(20)
async def test_if_kubernetes_does_not_answer_it_is_left_to_the_next_round(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(tmp_path) as there:
        put(there.server, "finished", "Succeeded", age=1000)
        builder = there.builder(patience=0.1)
        await builder._watcher.open()
        there.server.answers = [(500, b"{}", {})] * 20
        await clean_up(builder)
        assert "Build pods cannot be removed, trying again later" in caplog.text
        there.server.answers = []
        await clean_up(builder)
        assert there.server.pods == {}
