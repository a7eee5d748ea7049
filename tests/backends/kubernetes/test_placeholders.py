"""Pods that keep room for servers, against the strict double of the API server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from binderprogress.backends.base import Prepared, ResolvedSpec, ServerPlan
from binderprogress.backends.kubernetes.builder import KubernetesBuilder
from binderprogress.errors import ConfigError

from ...support.apiserver import ApiServer
from ...support.asynchronous import asynchronous
from .test_build_pod import NAME, RESOLVED, Cluster, cluster
from .test_cleaner import clean_up

PLAN = ServerPlan(name="user/repo", key="0a1b2c3d", resolved=RESOLVED)
POD = "binderprogress-placeholder-0a1b2c3d"
REQUESTS = {"cpu": "3", "memory": "1Gi"}
NO_ROOM = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}


class Held:
    """A server that is being prepared."""

    def __init__(self, builder: KubernetesBuilder, plan: ServerPlan[ResolvedSpec] = PLAN) -> None:
        self.building = asyncio.Event()
        self.done: list[Prepared] = []
        self._more = asyncio.Event()
        work = builder.prepare(plan, building=self.building, done=self._note)
        self.task = asyncio.create_task(work)

    def _note(self, done: Prepared) -> None:
        self.done.append(done)
        self._more.set()

    async def next(self) -> Prepared:
        await asyncio.wait_for(self._more.wait(), 10)
        self._more.clear()
        return self.done[-1]

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


def builder(there: Cluster, **settings: Any) -> KubernetesBuilder:
    placeholders = {"enabled": True, "requests": REQUESTS, **settings}
    made = there.builder(config=Config({"Placeholders": placeholders}))
    made.belong_to("ours")
    return made


@asynccontextmanager
async def held(folder: Path, **settings: Any) -> AsyncIterator[tuple[ApiServer, Held]]:
    async with cluster(folder) as there:
        holding = Held(builder(there, **settings))
        holding.building.set()
        await there.server.created()
        try:
            yield there.server, holding
        finally:
            await holding.cancel()


def set_status(server: ApiServer, **status: Any) -> None:
    server._store(POD, {**server.pods[POD], "status": status})


@asynchronous(20)
async def test_a_pod_has_room_until_the_server_is_requested(tmp_path: Path) -> None:
    async with held(tmp_path, pulled_images=["base"]) as (server, holding):
        pod = server.pods[POD]
        assert pod["spec"]["containers"][0]["resources"]["requests"] == REQUESTS
        assert pod["metadata"]["annotations"]["binderprogress/build"] == NAME
        set_status(server, phase="Pending", conditions=[NO_ROOM])
        await asyncio.sleep(0.05)
        assert holding.done == []
        server.bind(POD)
        found = await holding.next()
        assert (found.what, found.label) == ("node", "Node added")
        assert found.seconds >= 0.05
        set_status(server, phase="Pending", initContainerStatuses=[{"imageID": "sha256:1"}])
        pulled = await holding.next()
        assert (pulled.what, pulled.label) == ("base-image", "Base image pulled")
        await holding.cancel()
        assert server.pods == {}


@asynchronous(20)
async def test_where_there_is_room_no_node_was_added(tmp_path: Path) -> None:
    async with held(tmp_path) as (server, holding):
        server.bind(POD)
        assert (await holding.next()).label == "Room on a node kept"


@asynchronous(20)
async def test_there_is_none_before_the_build_begins(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        holding = Held(builder(there))
        await asyncio.sleep(0.05)
        assert there.server.requests["POST pods"] == 0
        await holding.cancel()
        assert there.server.requests["POST pods"] == 0


@asynchronous(20)
async def test_none_is_left_if_the_build_ends_while_it_is_created(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        holding = Held(builder(there))
        holding.building.set()
        while not there.server.requests["GET pods"]:
            await there.server.next_request()
        await holding.cancel()
        assert there.server.pods == {}


@asynchronous(20)
async def test_a_pod_that_gives_way_is_followed_no_more(tmp_path: Path) -> None:
    async with held(tmp_path) as (server, holding):
        server.bind(POD)
        await holding.next()
        server.remove(POD)
        await asyncio.wait_for(holding.task, 10)


@asynchronous(20)
async def test_a_pod_that_has_ended_is_removed(tmp_path: Path) -> None:
    async with held(tmp_path) as (server, holding):
        set_status(server, phase="Failed", reason="DeadlineExceeded")
        await asyncio.wait_for(holding.task, 10)
        assert server.pods == {}


@asynchronous(20)
async def test_only_so_many(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with cluster(tmp_path) as there:
        made = builder(there, max_pods=1)
        first = Held(made)
        first.building.set()
        await there.server.created()
        second = Held(made, ServerPlan(name="x", key="ffff", resolved=RESOLVED))
        second.building.set()
        await asyncio.wait_for(second.task, 10)
        assert there.server.pods.keys() == {POD}
        assert "There are 1 placeholders, so binderprogress-placeholder-ffff gets none." in (
            caplog.text
        )
        await first.cancel()


@pytest.mark.fault(
    part="Kubernetes",
    fault="refuses the pod that keeps room for a server, such as because of a quota",
    promise="the launch goes on without, and the log says why",
)
@asynchronous(20)
async def test_a_pod_that_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with cluster(tmp_path) as there:
        there.server.refusal = b'{"message": "exceeded quota: compute", "reason": "Forbidden"}'
        holding = Held(builder(there))
        holding.building.set()
        await asyncio.wait_for(holding.task, 15)
        assert "No room is kept for a server" in caplog.text
        assert "exceeded quota: compute" in caplog.text


@pytest.mark.fault(
    part="The server",
    fault="is killed while a pod keeps room for a server",
    promise="the next server goes on with the pod, or removes it",
)
@asynchronous(20)
async def test_a_successor_goes_on_with_it_or_removes_it(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        killed = Held(builder(there))
        killed.building.set()
        await there.server.created()
        successor = builder(there)
        again = Held(successor)
        again.building.set()
        while there.server.requests["POST pods"] < 2:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        there.server.bind(POD)
        await again.next()
        assert len(there.server.pods) == 1
        await again.cancel()
        assert there.server.pods == {}
        await killed.cancel()
        # It was killed before its successor's build began.
        left = Held(builder(there))
        left.building.set()
        await there.server.created(3)
        resumed = ServerPlan(name="user/repo", key=PLAN.key, resolved=RESOLVED, resumed=True)
        await builder(there).discard(resumed)
        assert there.server.pods == {}
        await left.cancel()


@asynchronous(20)
async def test_one_that_nobody_needs_is_cleaned_up(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        killed = Held(builder(there))
        killed.building.set()
        await there.server.created()
        other = builder(there, enabled=False)
        await clean_up(other, RESOLVED)
        assert there.server.pods.keys() == {POD}
        await clean_up(other)
        assert there.server.pods == {}
        assert other.cleaner.removed == {"orphaned": 1}
        await killed.cancel()


@asynchronous(20)
async def test_nothing_is_prepared_by_default(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        assert not there.builder().prepares


def test_its_size_has_to_be_set() -> None:
    with pytest.raises(ConfigError, match=r"Set c\.Placeholders\.requests to what"):
        KubernetesBuilder(image_prefix="x/y-", config=Config({"Placeholders": {"enabled": True}}))
