"""Builds in pods, against the strict double of the API server."""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from binderprogress.backends.base import BuildResult, Record, ResolvedSpec, WaitForTurn
from binderprogress.backends.kubernetes import builder as builder_module
from binderprogress.backends.kubernetes import follow_log
from binderprogress.backends.kubernetes.build_pod import BuildPod
from binderprogress.backends.kubernetes.builder import KubernetesBuilder
from binderprogress.core import specs
from binderprogress.core.kubernetes.names import build_name
from binderprogress.errors import ConfigError, LaunchFailedError

from ...support.apiserver import NAMESPACE, ApiServer, api_server
from ...support.asynchronous import asynchronous

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RESOLVED = ResolvedSpec(specs.parse("gh/user/repo/HEAD"), COMMIT)
NAME = build_name(RESOLVED.spec, COMMIT)


class Run:
    """A build, as it goes on in the background."""

    def __init__(self, builder: KubernetesBuilder, resolved: ResolvedSpec) -> None:
        self.items: list[Any] = []
        self._more = asyncio.Event()
        self.task = asyncio.create_task(self._read(builder, resolved))

    async def _read(self, builder: KubernetesBuilder, resolved: ResolvedSpec) -> None:
        async with aclosing(builder.build(resolved)) as items:
            async for item in items:
                self.items.append(item)
                self._more.set()

    @property
    def lines(self) -> list[str]:
        """The lines of the log."""
        found = [item.raw for item in self.items if isinstance(item, Record)]
        return [raw for raw in found if isinstance(raw, str)]

    @property
    def events(self) -> list[str]:
        """The reasons of the events."""
        found = [item.raw for item in self.items if isinstance(item, Record)]
        return [raw["reason"] for raw in found if isinstance(raw, dict)]

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._more.clear()
            await self._more.wait()

    async def fails(self) -> LaunchFailedError:
        with pytest.raises(LaunchFailedError) as caught:
            await self.task
        return caught.value


class Cluster:
    """The double, and builders that use it."""

    def __init__(self, server: ApiServer, config: Path) -> None:
        self.server = server
        self._config = config
        self._builders: list[KubernetesBuilder] = []

    def builder(self, **settings: Any) -> KubernetesBuilder:
        """Return a builder: each is that of another server."""
        builder = KubernetesBuilder(
            kubeconfig=str(self._config),
            namespace=NAMESPACE,
            # Nothing listens there: no image exists.
            **{"image_prefix": "127.0.0.1:9/x-", "patience": 5.0, **settings},
        )
        self._builders.append(builder)
        return builder

    def run(self, resolved: ResolvedSpec = RESOLVED, **settings: Any) -> Run:
        return Run(self.builder(**settings), resolved)

    async def running(self, **settings: Any) -> Run:
        """Return a build whose container runs."""
        run = self.run(**settings)
        await self.server.created()
        self.server.run(NAME)
        return run

    async def close(self) -> None:
        for builder in self._builders:
            await builder.close()


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    async with api_server(folder) as (server, config):
        found = Cluster(server, config)
        try:
            yield found
        finally:
            await found.close()


@asynchronous(20)
async def test_a_build(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        server = there.server
        run = await there.running()
        server.write(NAME, "one", "two")
        await run.until(lambda: len(run.lines) == 2)
        # A last line without a line end, and what goes wrong with the log in the end.
        server.write(NAME, "three", end="")
        server.exit(NAME)
        await run.task
        assert run.lines == ["one\n", "two\n", "three\n"]
        assert run.events == ["Scheduled", "Started"]
        image = run.items[-1]
        assert image == BuildResult(f"127.0.0.1:9/x-user-2drepo-{NAME.split('-')[-3]}:{COMMIT}")
        assert server.pods == {}


@asynchronous(20)
async def test_what_is_said_in_place_of_a_line_is_none(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        run = await there.running()
        there.server.write(NAME, "one")
        there.server.write_raw(NAME, b"rpc error: code = NotFound desc = not found")
        there.server.exit(NAME)
        await run.task
        assert run.lines == ["one\n"]


@asynchronous(60)
async def test_a_log_that_is_cut_anywhere_is_complete(tmp_path: Path) -> None:
    cuts = random.Random(1)  # noqa: S311 - no secret
    async with cluster(tmp_path) as there:
        there.server.cut_log = lambda: cuts.randrange(1, 30_000)
        run = await there.running()
        wanted = [f"line {number} {'x' * cuts.randrange(80)}" for number in range(5000)]
        for start in range(0, len(wanted), 500):
            there.server.write(NAME, *wanted[start : start + 500])
            # Some have equal times.
            await run.until(lambda start=start: len(run.lines) > start)
        there.server.exit(NAME)
        await run.task
        assert run.lines == [f"{line}\n" for line in wanted]
        assert there.server.requests["GET log"] > 10


@pytest.mark.long
@asynchronous(60)
async def test_a_long_log_that_is_cut_at_random_places_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_log, "_FIRST_PAUSE", 0.0)
    random_number = random.Random(2)  # noqa: S311 - no secret
    wanted = [f"line {number}" for number in range(100_000)]
    places = [random_number.randrange(60_000) for _ in range(100)]
    async with cluster(tmp_path) as there:
        there.server.cut_log = lambda: places.pop() if places else sys.maxsize
        run = await there.running()
        there.server.write(NAME, *wanted)
        there.server.exit(NAME)
        await run.task
        assert run.lines == [f"{line}\n" for line in wanted]
        assert places == []
        assert there.server.requests["GET log"] == 101


@asynchronous(20)
async def test_lines_of_one_time_come_once_each(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        run = await there.running()
        stamp = "2026-11-29T05:54:13.5Z"
        there.server.write(NAME, "a", "b", stamp=stamp)
        await run.until(lambda: len(run.lines) == 2)
        there.server.cut()
        there.server.write(NAME, "b", "c", stamp="2026-11-29T05:54:13.500000000Z")
        there.server.exit(NAME)
        await run.task
        assert run.lines == ["a\n", "b\n", "b\n", "c\n"]


@asynchronous(20)
async def test_a_watch_that_is_cut_or_too_old_goes_on(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        server = there.server
        run = await there.running()
        server.write(NAME, "one")
        await run.until(lambda: len(run.lines) == 1)
        watches = server.requests["WATCH pods"]
        server.cut()
        while server.requests["WATCH pods"] == watches:
            await server.next_request()
        listed = server.requests["GET pods"]
        server.say(NAME, "Killing", "Stopping container builder")
        server.exit(NAME)
        server.compact()
        server.cut()
        await run.task
        assert run.lines == ["one\n"]
        assert run.events.count("Killing") == 1
        assert server.requests["GET pods"] >= listed


@asynchronous(20)
async def test_another_server_joins_the_build(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        first = await there.running()
        there.server.write(NAME, "one")
        await first.until(lambda: len(first.lines) == 1)
        first.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first.task
        second = there.run()
        await second.until(lambda: len(second.lines) == 1)
        there.server.write(NAME, "two")
        there.server.exit(NAME)
        await second.task
        assert second.lines == ["one\n", "two\n"]
        assert there.server.requests["POST pods"] == 2


@asynchronous(20)
async def test_a_build_that_has_failed_is_made_again(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        first = await there.running()
        first.task.cancel()
        there.server.exit(NAME, 1)
        second = there.run()
        while there.server.requests["DELETE pod"] == 0 or NAME not in there.server.pods:
            await there.server.next_request()
        there.server.run(NAME)
        there.server.exit(NAME)
        await second.task


@asynchronous(20)
async def test_attack_a_pod_of_another_repository_is_not_joined(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        await there.running()
        other = there.builder(image_prefix="127.0.0.1:9/y-")
        error = await Run(other, RESOLVED).fails()
        assert "another repository" in str(error)
        assert NAME in there.server.pods


@pytest.mark.parametrize(
    ("code", "reason", "status", "expected"),
    [
        (1, "Error", {}, "build-failed"),
        (0, "OOMKilled", {}, "out-of-memory"),
        (137, "OOMKilled", {}, "out-of-memory"),
    ],
)
@asynchronous(20)
async def test_ends(
    tmp_path: Path, code: int, reason: str, status: dict[str, str], expected: str
) -> None:
    async with cluster(tmp_path) as there:
        run = await there.running()
        there.server.write(NAME, "the last line")
        there.server.exit(NAME, code, reason)
        assert (await run.fails()).reason == expected
        assert run.lines == ["the last line\n"]
        assert there.server.pods == {}


@asynchronous(20)
async def test_an_eviction_is_named(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        run = await there.running()
        message = "The node was low on resource: ephemeral-storage."
        there.server.say(NAME, "Evicted", message, kind="Warning")
        there.server.set(NAME, "Failed", {}, reason="Evicted", message=message)
        error = await run.fails()
        assert (error.reason, error.subject) == ("evicted", "ephemeral-storage")


@asynchronous(20)
async def test_a_pod_that_somebody_deletes(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        run = await there.running()
        there.server.write(NAME, "one")
        await run.until(lambda: len(run.lines) == 1)
        there.server.remove(NAME)
        assert (await run.fails()).reason == "build-interrupted"


@asynchronous(20)
async def test_what_cannot_start_ends_in_time(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        run = there.run(start_timeout=0.1)
        await there.server.created()
        message = 'MountVolume.SetUp failed for volume "docker-config" : secret "absent" not found'
        there.server.say(NAME, "FailedMount", message, kind="Warning")
        error = await run.fails()
        assert str(error) == (
            "The volume docker-config cannot be mounted: the secret absent does not exist."
        )
        assert there.server.pods == {}


@asynchronous(20)
async def test_a_name_of_an_image_that_is_not_valid_ends_at_once(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        run = there.run(start_timeout=3600.0)
        await there.server.created()
        message = 'couldn\'t parse image reference "Bad//Image": invalid reference format'
        there.server.say(NAME, "InspectFailed", message, kind="Warning")
        there.server.set(NAME, "Pending", {"waiting": {"reason": "InvalidImageName"}})
        assert (await run.fails()).reason == "image-name-invalid"


QUOTA = (
    b'{"kind":"Status","status":"Failure","message":"pods \\"x\\" is forbidden: exceeded quota: q, '
    b'requested: pods=1, used: pods=1, limited: pods=1","reason":"Forbidden","code":403}'
)


@asynchronous(20)
async def test_a_quota_is_named(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        there.server.refusal = QUOTA
        error = await there.run().fails()
        assert error.reason == "quota"
        assert "exceeded quota" in str(error)


@asynchronous(20)
async def test_a_busy_api_server_is_asked_again(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        busy = (429, b"Too many requests, please try again later.\n", {"Retry-After": "0"})
        there.server.answers += [busy, busy]
        assert await there.builder().check() == {"namespace": NAMESPACE}
        assert there.server.answers == []


@asynchronous(20)
async def test_an_api_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        there.server.answers += [(503, b"", {})] * 100
        with pytest.raises(LaunchFailedError, match="Kubernetes is not responding"):
            await there.builder(patience=0.5).check()
        error = await there.run(patience=0.5).fails()
        assert "Kubernetes is not responding" in str(error)


FORBIDDEN = (
    b'{"kind":"Status","status":"Failure","message":"pods is forbidden: User '
    b'\\"system:serviceaccount:binder:hub\\" cannot create resource \\"pods\\"",'
    b'"reason":"Forbidden","code":403}'
)


@asynchronous(20)
async def test_attack_what_kubernetes_says_of_our_account_is_only_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(tmp_path) as there:
        there.server.refusal = FORBIDDEN
        error = await there.run().fails()
        assert (str(error), error.reason) == ("Kubernetes does not accept the build.", "internal")
        assert "serviceaccount" in caplog.text


def test_images_need_a_registry() -> None:
    with pytest.raises(ConfigError, match="image_prefix"):
        KubernetesBuilder()


@asynchronous(20)
async def test_a_build_that_nobody_waits_for_is_deleted(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        builder = there.builder()
        run = Run(builder, RESOLVED)
        await there.server.created()
        run.task.cancel()
        await builder.cancel_build(RESOLVED)
        assert there.server.pods == {}
        await builder.cancel_build(RESOLVED)


@asynchronous(20)
async def test_a_build_whose_log_nobody_reads_can_be_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods: list[BuildPod] = []

    class Noted(BuildPod):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            pods.append(self)

    monkeypatch.setattr(builder_module, "BuildPod", Noted)
    async with cluster(tmp_path) as there:
        async with aclosing(there.builder().build(RESOLVED)) as items:
            assert await anext(items) == WaitForTurn()
            first = asyncio.create_task(anext(items))
            await there.server.created()
            there.server.run(NAME)
            there.server.write(NAME, *(f"line {number}" for number in range(5000)))
            await first
            while not pods[0]._items.full():  # noqa: ASYNC110 - a queue has no event for it
                await asyncio.sleep(0.01)
        assert NAME in there.server.pods


@asynchronous(20)
async def test_a_node_that_is_lost_does_not_keep_a_build_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(follow_log, "_END_PATIENCE", 0.5)
    async with cluster(tmp_path) as there:
        run = await there.running()
        there.server.write(NAME, "one")
        await run.until(lambda: len(run.lines) == 1)
        there.server.log_status = 500
        there.server.say(NAME, "NodeNotReady", "Node is not ready", kind="Warning")
        there.server.set(NAME, "Failed", {}, reason="NodeLost", message="Node is lost")
        there.server.cut()
        assert (await run.fails()).reason == "evicted"
        assert "is not complete" in caplog.text


@asynchronous(20)
async def test_requests_do_not_grow_with_builds(tmp_path: Path) -> None:
    async with cluster(tmp_path) as there:
        builder = there.builder()
        commits = [hashlib.sha256(bytes([number])).hexdigest()[:40] for number in range(20)]
        runs = [Run(builder, ResolvedSpec(RESOLVED.spec, commit)) for commit in commits]
        await there.server.created(20)
        for name in list(there.server.pods):
            there.server.run(name)
            there.server.write(name, name)
            there.server.exit(name)
        for run in runs:
            await run.task
        assert there.server.requests["GET pods"] == there.server.requests["WATCH pods"] == 1
        assert there.server.requests["WATCH events"] == 1
