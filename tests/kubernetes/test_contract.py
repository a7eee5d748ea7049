"""What we need from an API server. The double that other tests use does what a real one does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from binderprogress.backends.kubernetes import api as api_module
from binderprogress.backends.kubernetes.api import KubeApi, KubeError
from binderprogress.backends.kubernetes.follow_log import STAMP
from binderprogress.backends.kubernetes.manifest import CONTAINER, PodSettings, manifest
from binderprogress.backends.kubernetes.pod_builder import PodBuild, PodProgram

from ..support.asynchronous import asynchronous
from ..support.cluster_node import HAS_NODE
from ..support.cluster_node_stage import STAGE_IMAGE, NodeStage
from ..support.cluster_stages import DoubleStage, RealStage, Stage
from ..support.long import usually

pytestmark = pytest.mark.kubernetes

Open = Callable[[], AbstractAsyncContextManager[tuple[Stage, KubeApi]]]
OURS = "component=binderhub-build"
OF_PODS = "involvedObject.kind=Pod"


def pod(name: str = "one") -> dict[str, Any]:
    """Return a pod as we create it."""
    settings = PodSettings(build_image=STAGE_IMAGE)
    build = PodBuild(repo_url="x", commit="1", image="r/x:1")
    return manifest(settings, build, PodProgram(arguments=["jupyter-repo2docker"]), name=name)


@pytest.fixture(params=usually(["double", "real", *(["node"] if HAS_NODE else [])], "double"))
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Set up one of them, and a client that has the rights of a server."""
    opened: AbstractAsyncContextManager[Stage]
    if request.param == "double":
        opened = DoubleStage.open(tmp_path)
    elif request.param == "real":
        opened = RealStage.open(request.getfixturevalue("cluster"))
    else:
        node = request.getfixturevalue("node")
        opened = NodeStage.open_node(node.cluster, node.files)

    @asynccontextmanager
    async def open_stage() -> AsyncIterator[tuple[Stage, KubeApi]]:
        async with opened as stage:
            api = KubeApi(
                stage.namespace, kubeconfig=str(stage.kubeconfig), timeout=30.0, patience=0.1
            )
            try:
                yield stage, api
            finally:
                await api.close()

    return open_stage


async def lines(api: KubeApi, *, since: str = "", follow: bool = False) -> list[bytes]:
    """Return what is in the log, without the times."""
    async with aclosing(api.log("one", CONTAINER, since=since, follow=follow)) as log:
        return [STAMP.sub(b"", line) async for line in log]


def kinds(changes: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [kind for kind, _ in changes if kind != "BOOKMARK"]


# -- pods


@asynchronous(30)
async def test_a_pod_is_created(stage: Open) -> None:
    async with stage() as (_, api):
        made = await api.create(pod())
        assert made["status"]["phase"] == "Pending"
        assert made["metadata"].items() >= pod()["metadata"].items()
        assert made["metadata"]["namespace"] == api.namespace
        assert int(made["metadata"]["resourceVersion"])
        assert "nodeName" not in made["spec"]
        read = await api.pod("one")
        assert read is not None
        assert read["metadata"]["uid"] == made["metadata"]["uid"]


@asynchronous(30)
async def test_a_name_is_given_once(stage: Open) -> None:
    async with stage() as (_, api):
        await api.create(pod())
        with pytest.raises(KubeError, match='pods "one" already exists') as caught:
            await api.create(pod())
        assert (caught.value.status, caught.value.reason) == (409, "AlreadyExists")


@asynchronous(30)
async def test_a_name_has_to_be_valid(stage: Open) -> None:
    async with stage() as (_, api):
        with pytest.raises(KubeError, match="Invalid value") as caught:
            await api.create(pod("Not_Valid"))
        assert (caught.value.status, caught.value.reason) == (422, "Invalid")


@asynchronous(30)
async def test_a_pod_that_does_not_exist(stage: Open) -> None:
    async with stage() as (_, api):
        assert await api.pod("one") is None
        assert not await api.delete("one", uid="x")
        with pytest.raises(KubeError) as caught:
            await lines(api)
        assert (caught.value.status, caught.value.reason) == (404, "NotFound")


@asynchronous(30)
async def test_a_pod_that_waits_is_deleted_at_once(stage: Open) -> None:
    async with stage() as (_, api):
        made = pod()
        made["spec"]["nodeSelector"] = {"kim.example.org/no": "node"}
        made = await api.create(made)
        assert not await api.delete("one", uid="another")
        assert await api.pod("one") is not None
        assert await api.delete("one", uid=made["metadata"]["uid"])
        assert await api.pod("one") is None


@asynchronous(30)
async def test_a_pod_that_runs_is_deleted_when_its_container_has_ended(stage: Open) -> None:
    async with stage() as (there, api):
        await there.hold()
        uid = (await api.create(pod()))["metadata"]["uid"]
        await there.run("one")
        assert await api.delete("one", uid=uid)
        ending = await api.pod("one")
        assert ending is not None
        assert ending["metadata"]["deletionTimestamp"]
        assert ending["status"]["phase"] == "Running"
        with pytest.raises(KubeError) as caught:
            await api.create(pod())
        assert caught.value.reason == "AlreadyExists"
        await there.release("one")
        assert await api.pod("one") is None


@asynchronous(30)
async def test_a_pod_that_runs_is_deleted_at_once_without_grace(stage: Open) -> None:
    async with stage() as (there, api):
        await there.hold()
        uid = (await api.create(pod()))["metadata"]["uid"]
        await there.run("one")
        assert await api.delete("one", uid=uid, grace=0)
        assert await api.pod("one") is None


@asynchronous(30)
async def test_another_token_or_namespace_is_refused(stage: Open, tmp_path: Path) -> None:
    async with stage() as (there, _):
        other = KubeApi("kube-system", kubeconfig=str(there.kubeconfig), timeout=30.0, patience=0.1)
        with pytest.raises(KubeError, match="pods is forbidden: User") as caught:
            await other.pods(OURS)
        assert (caught.value.status, caught.value.reason) == (403, "Forbidden")
        await other.close()
        config = json.loads(there.kubeconfig.read_text())
        config["users"][0]["user"]["token"] = "wrong"
        (tmp_path / "wrong").write_text(json.dumps(config))
        wrong = KubeApi(
            there.namespace, kubeconfig=str(tmp_path / "wrong"), timeout=30.0, patience=0.1
        )
        with pytest.raises(KubeError) as caught:
            await wrong.pods(OURS)
        assert (caught.value.status, caught.value.reason) == (401, "Unauthorized")
        await wrong.close()


# -- lists and watches


@asynchronous(30)
async def test_pods_are_listed_by_label(stage: Open) -> None:
    async with stage() as (_, api):
        await api.create(pod())
        other = pod("two")
        other["metadata"]["labels"]["component"] = "something-else"
        await api.create(other)
        listing = await api.pods(OURS)
        (found,) = listing.items
        assert found["metadata"]["name"] == "one"
        assert int(found["metadata"]["resourceVersion"]) <= int(listing.version)
        assert (await api.pods("component=none")).items == []


@asynchronous(30)
async def test_changes_of_pods_are_watched(stage: Open) -> None:
    async with stage() as (there, api):
        version = (await api.pods(OURS)).version
        other = pod("two")
        del other["metadata"]["labels"]["component"]
        await api.create(other)
        uid = (await api.create(pod()))["metadata"]["uid"]
        await there.run("one")
        await there.exit("one", 1)
        await api.delete("one", uid=uid, grace=0)
        changes: list[tuple[str, dict[str, Any]]] = []
        async with aclosing(api.watch_pods(OURS, version)) as watch:
            async for change in watch:
                changes.append(change)
                if change[0] == "DELETED":
                    break
        assert kinds(changes)[0] == "ADDED"
        assert set(kinds(changes)[1:-1]) == {"MODIFIED"}
        objects = [found for kind, found in changes if kind != "BOOKMARK"]
        assert {found["metadata"]["uid"] for found in objects} == {uid}
        phases = [found["status"]["phase"] for found in objects]
        assert list(dict.fromkeys(phases)) == ["Pending", "Running", "Failed"]
        versions = [int(found["metadata"]["resourceVersion"]) for _, found in changes]
        assert versions == sorted(versions)
        # It goes on after any of them.
        async with aclosing(api.watch_pods(OURS, str(versions[-2]))) as watch:
            while (change := await anext(watch))[0] == "BOOKMARK":
                pass
        assert change[0] == "DELETED"


@asynchronous(30)
async def test_a_watch_ends_after_some_time(stage: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "_WATCH_TIME", 2)
    async with stage() as (_, api):
        await api.create(pod())
        version = (await api.pods(OURS)).version
        async with aclosing(api.watch_pods(OURS, version)) as watch:
            changes = [change async for change in watch]
        assert all(int(found["metadata"]["resourceVersion"]) for _, found in changes)


@asynchronous(30)
async def test_events_are_listed_and_watched(stage: Open) -> None:
    async with stage() as (there, api):
        uid = (await api.create(pod()))["metadata"]["uid"]
        await there.run("one")
        await there.say("one", "Pulling", "first")
        listing = await api.events(OF_PODS)
        assert "first" in [event["message"] for event in listing.items]
        await there.say("one", "BackOff", "second")
        async with aclosing(api.watch_events(OF_PODS, listing.version)) as watch:
            async for kind, event in watch:
                if kind == "ADDED" and event["message"] == "second":
                    break
        about = event["involvedObject"]
        assert (about["kind"], about["name"], about["uid"]) == ("Pod", "one", uid)
        assert (event["reason"], event["type"]) == ("BackOff", "Normal")


@asynchronous(30)
async def test_a_version_may_be_forgotten(stage: Open) -> None:
    async with stage() as (there, api):
        await api.create(pod())
        await there.run("one")
        version = (await api.events(OF_PODS)).version
        await there.say("one", "Pulling", "first")
        await there.say("one", "Pulled", "second")
        await there.compact()
        with pytest.raises(KubeError) as caught:
            async with aclosing(api.watch_events(OF_PODS, version)) as watch:
                async for _ in watch:
                    pass
        assert (caught.value.status, caught.value.reason) == (410, "Expired")


# -- logs


@asynchronous(30)
async def test_the_log_of_what_has_not_started(stage: Open) -> None:
    async with stage() as (there, api):
        waiting = pod()
        waiting["spec"]["nodeSelector"] = {"kim.example.org/no": "node"}
        uid = (await api.create(waiting))["metadata"]["uid"]
        assert await lines(api, follow=True) == []
        await api.delete("one", uid=uid)
        await api.create(pod())
        await there.bind("one")
        with pytest.raises(
            KubeError, match=r'container "builder" in pod "one" is waiting'
        ) as caught:
            await lines(api)
        assert (caught.value.status, caught.value.reason) == (400, "BadRequest")


@asynchronous(30)
async def test_a_log_is_followed_to_its_end(stage: Open) -> None:
    async with stage() as (there, api):
        await api.create(pod())
        await there.run("one")
        await there.write("one", "first", "", "  third")
        assert await lines(api) == [b"first\n", b"\n", b"  third\n"]
        following = asyncio.create_task(lines(api, follow=True))
        await there.write("one", "last")
        await there.exit("one", 0)
        wanted = [b"first\n", b"\n", b"  third\n", b"last\n"]
        assert await following == wanted
        assert await lines(api, follow=True) == wanted


@asynchronous(30)
async def test_a_log_is_read_from_a_second_on(stage: Open) -> None:
    async with stage() as (there, api):
        await api.create(pod())
        await there.run("one")
        await there.write("one", "first", "second")
        async with aclosing(api.log("one", CONTAINER, follow=False)) as log:
            stamps = [STAMP.match(line) async for line in log]
        assert stamps[-1] is not None
        second, _, zone = stamps[-1].groups()
        read = await lines(api, since=(second + zone).decode())
        assert read[-1] == b"second\n"
        # Nothing is left out of that second.
        wanted = [each for each in stamps if each is not None and each[1] == second]
        assert len(read) == len(wanted)


@asynchronous(30)
async def test_what_is_no_line_of_the_container(stage: Open) -> None:
    async with stage() as (there, api):
        await api.create(pod())
        await there.run("one")
        await there.write("one", "first")
        await there.write_raw("one", b"rpc error: code = NotFound")
        await there.exit("one", 0)
        assert await lines(api) == [b"first\n", b"rpc error: code = NotFound"]


@asynchronous(30)
async def test_the_log_of_a_node_that_does_not_answer(stage: Open) -> None:
    async with stage() as (there, api):
        await api.create(pod())
        await there.run("one")
        await there.lose()
        with pytest.raises(KubeError) as caught:
            await lines(api)
        assert (caught.value.status, caught.value.reason) == (500, "InternalError")
