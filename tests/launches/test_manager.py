"""Launches with real builds: shared, cancelled, abandoned, forgotten, and cleaned up."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from binderprogress.backends.base import BuildResult, Record, ResolvedSpec
from binderprogress.backends.jupyterhub.launcher import HubLauncher
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.core.phases import UNPUSHED, Phase
from binderprogress.core.specs import Spec
from binderprogress.errors import NotFoundError, ServerStoppingError, TooManyRequestsError
from binderprogress.launches import Caller, Launch, LaunchManager, event_writer
from binderprogress.launches.event_writer import Clock
from binderprogress.launches.shared_builds import SharedBuilds

from ..support.long import usually
from ..support.repositories import commit, repository
from .parts import (
    NOTHING,
    WITHIN,
    Advance,
    Feed,
    SilentHost,
    children_named,
    events_of,
    gen_test,
    keys,
    local,
    log_of,
    said,
    until,
    unwatched,
    watching,
)

Make = Callable[..., LaunchManager]


async def start(manager: LaunchManager, spec: Spec) -> Launch:
    return await manager.start(spec, Caller(base_url="http://here/", ip="127.0.0.1"))


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def logs(folder: Path) -> list[Path]:
    return list(folder.glob("*/*.log"))


async def over(manager: LaunchManager) -> None:
    """Wait until all launches are cleaned up."""
    async with asyncio.timeout(WITHIN):
        # There is no event for it, so look at the tasks.
        while manager._running.tasks:
            await asyncio.wait(list(manager._running.tasks.values()))


# -- complete streams


@gen_test
async def test_a_build_and_a_hub_that_is_not_there(make_manager: Make, shared: Path) -> None:
    manager = make_manager()
    launch = await start(manager, local(shared / "small"))
    events = await events_of(launch)
    assert keys(events) == list(range(1, len(events) + 1))
    assert events[0].phases == list(UNPUSHED)
    assert not any(event.phases for event in events[1:])
    order = list(Phase)
    phases = [order.index(event.phase) for event in events]
    assert phases == sorted(phases)
    end = events[-1]
    assert (end.phase, end.reason) == (Phase.FAILED, "hub-unreachable")
    assert end.advice
    assert not [event for event in events if "Traceback" in event.message]
    await over(manager)
    assert (manager.running, manager.building, manager.ended[Phase.FAILED]) == (0, 0, 1)


@gen_test
async def test_a_later_launch_finds_the_environment_and_builds_nothing(
    make_manager: Make, tmp_path: Path
) -> None:
    # Other tests share an environment, which would be found by the first launch, too.
    builder = LocalBuilder(
        environments=str(tmp_path / "environments"),
        local_folders=[str(tmp_path)],
        base_packages=[],
        link_mode="hardlink",
    )
    manager = make_manager(builder=builder)
    repository(tmp_path / "small", NOTHING)
    first = await events_of(await start(manager, local(tmp_path / "small")))
    second = await events_of(await start(manager, local(tmp_path / "small")))
    assert [e.message for e in first if e.phase is Phase.BUILT] == ["Built the environment.\n"]
    assert [e.message for e in second if e.phase is Phase.BUILT] == ["Found the environment.\n"]
    assert {e.phase for e in second} == {
        Phase.WAITING,
        Phase.BUILT,
        Phase.LAUNCHING,
        Phase.FAILED,
    }
    assert [e.imageName for e in first if e.imageName] == [
        e.imageName for e in second if e.imageName
    ]


@pytest.mark.long
@gen_test
async def test_refs_of_one_commit_share_and_another_commit_does_not(
    make_manager: Make, tmp_path: Path
) -> None:
    manager = make_manager()
    async with Feed(tmp_path / "fed", status=1) as feed:
        by_head, by_name = (
            await start(manager, feed.spec),
            await start(manager, feed.spec.at("main")),
        )
        build = await feed.build()
        head = commit(feed.folder, {"more": "more"})
        other = await start(manager, feed.spec)
        second = await feed.build()
        assert manager.building == 2
        assert by_head.build is by_name.build is not other.build
        assert other.build is not None
        assert other.build.resolved.commit == head
        build.finish()
        second.finish()
        for launch in (by_head, by_name, other):
            assert (await events_of(launch))[-1].reason == "postbuild-failed"
        assert feed.waiting == 0


@gen_test
async def test_a_failed_build_is_told_once_in_the_same_bytes_to_all_its_launches(
    make_manager: Make, tmp_path: Path
) -> None:
    manager = make_manager()
    async with Feed(tmp_path / "fed", status=3) as feed:
        launches = [await start(manager, feed.spec) for _ in range(3)]
        build = await feed.build()
        await build.write("almost\n")
        await until(launches[0], said("almost"))
        launches.append(
            await start(manager, feed.spec)
        )  # it joins the build, and gets all of its events
        await until(launches[3], said("almost"))
        build.finish()
        streams = []
        for launch in launches:
            await events_of(launch)
            streams.append(await launch.read(0, limit=10**6))
        for stream in streams:
            assert [encoded.event.id for encoded in stream] == list(range(1, len(stream) + 1))
            assert stream[-1].event.phase is Phase.FAILED
            # The same objects: they are encoded once.
            assert all(a is b for a, b in zip(stream[1:], streams[0][1:], strict=True))
        assert feed.waiting == 0
    await over(manager)
    assert manager.ended[Phase.FAILED] == 4


# -- cancelling


@gen_test
async def test_one_launch_is_cancelled_and_the_other_goes_on_with_the_build(
    make_manager: Make, tmp_path: Path
) -> None:
    manager = make_manager()
    async with Feed(tmp_path / "fed", status=1) as feed:
        leaves, stays = await start(manager, feed.spec), await start(manager, feed.spec)
        build = await feed.build()
        await build.write("before\n")
        await until(leaves, said("before"))
        manager.cancel(leaves)
        end = (await events_of(leaves))[-1]
        assert (end.phase, end.reason) == (Phase.CANCELLED, "cancelled")
        await build.write("after\n")
        await until(stays, said("after"))
        assert build.process.is_running()
        assert keys(await events_of(leaves)) == list(range(1, end.id + 1))
        assert leaves.last == end
        build.finish()
        assert (await events_of(stays))[-1].phase is Phase.FAILED
        # Each log ends like its launch. The log of the cancelled one has no later lines.
        assert (await log_of(leaves)).endswith("before\nCancelled.\n")
        assert (await log_of(leaves)).count("before\n") == 1
        assert "after\n" in await log_of(stays)
        assert (await log_of(stays)).endswith(stays.last.message)


@gen_test
async def test_the_last_one_who_leaves_ends_the_build(make_manager: Make, tmp_path: Path) -> None:
    manager = make_manager()
    async with Feed(tmp_path / "fed") as feed:
        launches = [await start(manager, feed.spec) for _ in range(2)]
        build = await feed.build()
        await build.write("the last line\n")
        await until(launches[0], said("the last line"))
        for launch in launches:
            manager.cancel(launch)
        assert await build.gone()
        await over(manager)
        assert (manager.building, manager.ended[Phase.CANCELLED]) == (0, 2)
        for launch in launches:
            assert (await log_of(launch)).count("the last line\n") == 1


@gen_test
async def test_attack_a_build_that_ignores_sigterm_is_ended_all_the_same(
    make_manager: Make, tmp_path: Path
) -> None:
    # A script must not continue to mine after its launch is cancelled.
    manager = make_manager()
    async with Feed(tmp_path / "fed", before="trap '' TERM HUP INT") as feed:
        launch = await start(manager, feed.spec)
        build = await feed.build()
        manager.cancel(launch)
        assert await build.gone()


@pytest.mark.long
@gen_test
async def test_a_launch_right_after_does_not_join_the_build_that_is_being_ended(
    make_manager: Make, tmp_path: Path
) -> None:
    manager = make_manager()
    async with Feed(tmp_path / "fed", status=1) as feed:
        first = await start(manager, feed.spec)
        ending = await feed.build()
        manager.cancel(first)
        second = await start(manager, feed.spec)
        build = await feed.build()
        assert build.process.pid != ending.process.pid
        build.finish()
        assert (await events_of(second))[-1].reason == "postbuild-failed"


@gen_test
async def test_a_look_up_is_ended_with_its_launch(make_manager: Make) -> None:
    manager = make_manager()
    async with SilentHost() as host:
        launch = await start(manager, host.spec)
        await host.asked()
        git = children_named(launch.spec.repo_url)
        assert git
        manager.cancel(launch)
        await over(manager)
        assert not children_named(launch.spec.repo_url)
        assert keys(await events_of(launch)) == [1, 2]


@gen_test
async def test_cancelling_before_the_first_step_and_twice_is_counted_once(
    make_manager: Make, shared: Path
) -> None:
    manager = make_manager(forget_after=0.01)
    launch = await start(manager, local(shared / "small"))
    manager.cancel(launch)
    manager.cancel(launch)
    await over(manager)
    # Its task never ran. Nothing of it may remain, or it counts toward the limit forever.
    await asyncio.sleep(0)
    assert manager.running == 0
    assert manager.ended[Phase.CANCELLED] == 1
    assert [e.event.phase for e in await launch.read(0)] == [Phase.WAITING, Phase.CANCELLED]


@gen_test
async def test_what_is_over_cannot_be_cancelled(make_manager: Make, shared: Path) -> None:
    manager = make_manager()
    launch = await start(manager, local(shared / "small", "no-such-branch"))
    events = await events_of(launch)
    assert events[-1].reason == "bad-ref"
    manager.cancel(launch)
    assert await events_of(launch) == events


@pytest.mark.long
@gen_test
async def test_a_launch_that_has_just_let_go_of_a_failed_build_cannot_be_cancelled(
    make_manager: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its task has not ended yet, but its last event is written."""
    manager = make_manager()
    release = SharedBuilds.release

    def release_and_cancel(builds: SharedBuilds, launch: Launch) -> None:
        release(builds, launch)
        assert launch.ended
        manager.cancel(launch)

    monkeypatch.setattr(SharedBuilds, "release", release_and_cancel)
    async with Feed(tmp_path / "fed", status=1) as feed:
        launch = await start(manager, feed.spec)
        (await feed.build()).finish()
        assert (await events_of(launch))[-1].phase is Phase.FAILED
    await over(manager)
    assert manager.ended == {Phase.FAILED: 1}


# -- without viewers


@gen_test
async def test_a_launch_that_nobody_watches_is_abandoned(make_manager: Make) -> None:
    manager = make_manager(abandon_after=0.1)
    async with SilentHost() as host:
        launch = await start(manager, host.spec)
        await unwatched(launch, lambda launch: launch.last.terminal)
        assert (launch.last.phase, launch.last.reason) == (Phase.CANCELLED, "abandoned")


@gen_test
async def test_a_viewer_keeps_it_and_its_leaving_begins_the_time(
    make_manager: Make, advance: Advance
) -> None:
    manager = make_manager(abandon_after=5.0)
    async with SilentHost() as host:
        launch = await start(manager, host.spec)
        with watching(launch):
            await advance(6.0)
            assert not launch.ended
        await advance(4.0)
        assert not launch.ended
        await advance(1.0)
        assert launch.ended
        await unwatched(launch, lambda launch: launch.last.terminal)
        assert launch.last.reason == "abandoned"


@gen_test
async def test_who_polls_its_state_keeps_it(make_manager: Make, advance: Advance) -> None:
    manager = make_manager(abandon_after=5.0)
    async with SilentHost() as host:
        launch = await start(manager, host.spec)
        for _ in range(4):
            assert manager.get(launch.id).state().phase is Phase.WAITING
            await advance(4.0)
            assert not launch.ended
        await advance(1.0)
        assert launch.ended
        await unwatched(launch, lambda launch: launch.last.terminal)
        assert launch.last.reason == "abandoned"


@gen_test
async def test_what_is_over_is_forgotten_and_its_log_leaves_the_disk(
    make_manager: Make, tmp_path: Path, temporary: Path
) -> None:
    manager = make_manager(forget_after=0.3)
    async with Feed(tmp_path / "fed", status=1) as feed:
        first, second = await start(manager, feed.spec), await start(manager, feed.spec)
        (await feed.build()).finish()
        await events_of(first)
        await events_of(second)
    assert len(logs(temporary)) == 1
    assert "postBuild" in await log_of(second)
    # Viewers of an ended launch do not keep it.
    with watching(second):
        await gone(manager, first)
        await gone(manager, second)
    assert logs(temporary) == []


async def gone(manager: LaunchManager, launch: Launch) -> None:
    """Wait until a launch is forgotten, without reading its state, which would keep it."""
    async with asyncio.timeout(WITHIN):
        while launch.id in manager._directory._launches:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.02)
    with pytest.raises(NotFoundError, match="start a new one"):
        manager.get(launch.id)


# -- limits


@gen_test
async def test_as_many_as_allowed_run(make_manager: Make) -> None:
    manager = make_manager(max_launches=2)
    async with SilentHost() as host:
        first, _ = await start(manager, host.spec), await start(manager, host.spec)
        with pytest.raises(TooManyRequestsError) as refused:
            await start(manager, host.spec)
        assert refused.value.retry_after > 0
        manager.cancel(first)
        await unwatched(first, lambda launch: launch.closed)
        while (task := manager._running.tasks.get(first.id)) is not None:
            await asyncio.wait([task])
        await start(manager, host.spec)
        assert manager.running == 2


@gen_test
async def test_attack_a_log_without_end_does_not_fill_the_disk(
    make_manager: Make, tmp_path: Path
) -> None:
    """For example, a postBuild that runs `yes`."""
    manager = make_manager(max_full_log=2000)
    async with Feed(tmp_path / "fed", status=1) as feed:
        launch = await start(manager, feed.spec)
        build = await feed.build()
        await build.write("".join(f"filling {number}\n" for number in range(1000)))
        build.finish()
        await events_of(launch)
    log = await log_of(launch)
    assert len(log) < 2500
    assert log.count("[The log is cut here: it is longer than this server keeps.]\n") == 1
    assert "filling 0\n" in log


@gen_test
async def test_the_stream_is_cut_and_the_full_log_is_not(
    make_manager: Make, tmp_path: Path
) -> None:
    manager = make_manager(max_line=20, max_log=2000)
    async with Feed(tmp_path / "fed", status=1) as feed:
        launch = await start(manager, feed.spec)
        build = await feed.build()
        long = "a long line " * 20
        await build.write(f"{long}\n10%\r20%\r100%\n")
        await until(launch, said("100%"))
        await build.write("".join(f"filling {number}\n" for number in range(1000)))
        build.finish()
        events = await events_of(launch)
    shown = "".join(event.message for event in events)
    assert f"{long[:20]}… [{len(long) - 20} more characters in the full log]\n" in shown
    assert "10%\r" in [event.message for event in events]
    assert "[The log is too long to be shown" in shown
    assert "lines are left out here; the full log has them.]" in shown
    assert len(shown) < 2600
    log = await log_of(launch)
    assert f"{long}\n10%\r20%\r100%\nfilling 0\n" in log
    assert all(f"filling {number}\n" in log for number in range(1000))
    assert "left out" not in log
    assert log.startswith("Looking up HEAD")
    assert log.endswith(events[-1].message)


@gen_test
async def test_a_build_that_takes_too_long_is_ended(make_manager: Make, tmp_path: Path) -> None:
    manager = make_manager(build_timeout=0.2)
    launch = await start(manager, local(repository(tmp_path / "slow", NOTHING)))
    end = (await events_of(launch))[-1]
    assert (end.phase, end.reason) == (Phase.FAILED, "build-timeout")
    assert end.message == "The build took longer than 0.2 seconds.\n"
    assert not children_named(launch.spec.repo_url)


@gen_test
async def test_a_hub_that_does_not_answer_in_time(
    make_manager: Make, shared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with SilentHost() as hub:
        spawner = HubLauncher(url=hub.url, api_token="x", retries=1)
        manager = make_manager(spawner=spawner, launch_timeout=0.2, cleanup_timeout=0.2)
        end = (await events_of(await start(manager, local(shared / "small"))))[-1]
        assert (end.phase, end.reason) == (Phase.FAILED, "start-timeout")
        await over(manager)
        assert manager.running == 0
        assert "may be left running" in caplog.text


# -- bugs


class BrokenBuilder(LocalBuilder):
    """A builder with a bug."""

    broken = ""

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        """Resolve the spec, or raise the bug's exception."""
        if self.broken == "resolve":
            raise KeyError("/secret/resolve")
        return await super().resolve(spec)

    async def build(self, target: ResolvedSpec) -> AsyncGenerator[Record | BuildResult, None]:
        """Raise the bug's exception, or end without a result."""
        yield Record("repo2docker", '{"message": "fine so far\\n", "phase": "building"}')
        if self.broken == "build":
            raise KeyError("/secret/build")


@pytest.mark.parametrize("broken", ["resolve", "build", "nothing"])
@gen_test
async def test_a_mistake_of_ours_is_told_without_its_traceback(
    make_manager: Make, shared: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    builder = BrokenBuilder(local_folders=[str(shared)])
    builder.broken = broken
    manager = make_manager(builder=builder)
    launch = await start(manager, local(shared / "small"))
    end = (await events_of(launch))[-1]
    assert (end.phase, end.reason) == (Phase.FAILED, "internal")
    assert b"secret" not in b"".join(encoded.json for encoded in await launch.read(0))
    await over(manager)
    assert (manager.running, manager.building) == (0, 0)
    if broken != "nothing":
        # The server's log has the traceback.
        assert any(r.exc_info for r in caplog.records if r.levelno >= logging.ERROR)


class BugError(Exception):
    """A mistake of ours."""


@gen_test
async def test_a_mistake_in_a_diagnosis_does_not_hide_the_failure(
    make_manager: Make,
    shared: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def diagnose(*_: object, **__: object) -> None:
        raise BugError

    monkeypatch.setattr(event_writer, "diagnose", diagnose)
    manager = make_manager()
    end = (await events_of(await start(manager, local(shared / "small"))))[-1]
    assert (end.phase, end.reason) == (Phase.FAILED, "hub-unreachable")
    await over(manager)
    assert any(r.exc_info and r.exc_info[0] is BugError for r in caplog.records)


@gen_test
async def test_a_launch_whose_failure_cannot_be_written_has_an_end(
    make_manager: Make,
    shared: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise BugError

    monkeypatch.setattr(event_writer.Writer, "fail", fail)
    manager = make_manager()
    end = (await events_of(await start(manager, local(shared / "small"))))[-1]
    assert (end.phase, end.reason) == (Phase.FAILED, "internal")
    await over(manager)
    assert manager.running == 0
    assert any(r.exc_info and r.exc_info[0] is BugError for r in caplog.records)


@gen_test
async def test_a_hub_that_is_not_configured_leaves_nothing_running(
    make_manager: Make, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The cleanup fails for the same reason. The launch must end anyway.
    monkeypatch.delenv("JUPYTERHUB_API_TOKEN", raising=False)
    manager = make_manager(spawner=HubLauncher(url="http://127.0.0.1:1/"))
    end = (await events_of(await start(manager, local(shared / "small"))))[-1]
    assert (end.phase, end.reason) == (Phase.FAILED, "internal")
    await over(manager)
    assert manager.running == 0


# -- stopping


@gen_test
async def test_closing_cancels_everything_and_leaves_nothing(
    make_manager: Make, tmp_path: Path, temporary: Path, shared: Path
) -> None:
    manager = make_manager()
    async with SilentHost() as host, Feed(tmp_path / "fed") as feed:
        looking = await start(manager, host.spec)
        building = await start(manager, feed.spec)
        failed = await start(manager, local(shared / "small", "no-such-branch"))
        await host.asked()
        build = await feed.build()
        await events_of(failed)
        assert files(temporary)
        await asyncio.wait_for(manager.close(), 5)
        assert await build.gone()
        assert not children_named(str(host.url))
        assert not children_named("binderprogress.backends.local.build_program")
    assert files(temporary) == []
    assert (manager.running, manager.building) == (0, 0)
    assert [launch.last.reason for launch in (looking, building)] == ["shutdown", "shutdown"]
    assert failed.last.reason == "bad-ref"
    with pytest.raises(ServerStoppingError):
        await start(manager, local(shared / "small"))


@pytest.mark.long
@gen_test
async def test_closing_waits_for_builds_that_were_cancelled_before(
    make_manager: Make, tmp_path: Path
) -> None:
    """Otherwise, the event loop would end before their processes."""
    async with Feed(tmp_path / "fed", before="trap '' TERM HUP INT") as feed:
        manager = make_manager()
        launch = await start(manager, feed.spec)
        await feed.build()
        build = launch.build
        assert build is not None
        manager.cancel(launch)
        await over(manager)
        assert not build.task.done()
        await manager.close()
        assert build.task.done()


@gen_test
async def test_closing_in_a_hurry_still_removes_the_files(
    make_manager: Make, temporary: Path, shared: Path
) -> None:
    # With a JupyterHub that does not answer, the cleanup takes longer than the stop timeout.
    async with SilentHost() as hub:
        spawner = HubLauncher(url=hub.url, api_token="x")
        manager = make_manager(spawner=spawner)
        launch = await start(manager, local(shared / "small"))
        await until(launch, lambda event: event.phase is Phase.LAUNCHING)
        await hub.asked()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await manager.close()
        assert files(temporary) == []
        assert manager.running == 0


# -- ids


def test_an_id_is_unguessable_and_not_in_logs(
    io_loop: object, make_manager: Make, shared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def launches() -> list[Launch]:
        manager = make_manager()
        manager.log.setLevel(logging.DEBUG)
        started = [
            await start(manager, local(shared / "small", "no-such-branch")) for _ in range(20)
        ]
        for launch in started:
            await events_of(launch)
        await over(manager)
        return started

    started = io_loop.run_sync(launches, timeout=30)  # type: ignore[attr-defined]
    ids = {launch.id for launch in started}
    assert len(ids) == 20
    assert min(len(launch_id) for launch_id in ids) >= 32
    assert not [launch_id for launch_id in ids if launch_id in caplog.text]


@gen_test
async def test_a_build_that_others_want_goes_on_without_an_abandoned_launch(
    make_manager: Make, tmp_path: Path, advance: Advance
) -> None:
    manager = make_manager(abandon_after=20.0)
    async with Feed(tmp_path / "fed", status=1) as feed:
        first = await start(manager, feed.spec)
        with watching(first):
            build = await feed.build()
            second = await start(manager, feed.spec)
            with watching(second):
                await build.write("line\n")
                await until(second, lambda event: event.message == "line\n")
        # Nobody watches the first one any more, and somebody the second one again.
        with watching(second):
            await advance(20.0)
            await unwatched(first, lambda launch: launch.last.terminal)
            assert first.last.reason == "abandoned"
            await build.write("more\n")
            await until(second, lambda event: event.message == "more\n")
            build.finish()
            await unwatched(second, lambda launch: launch.last.terminal)
            assert second.last.phase is Phase.FAILED


# -- clocks


@pytest.mark.fault(
    part="The clock",
    fault="is set an hour forward or back during a build",
    promise="the bar does not move",
)
@pytest.mark.parametrize("step", usually([3600.0, -3600.0], -3600.0))
@gen_test
async def test_a_step_of_the_systems_clock_does_not_move_the_bar(
    make_manager: Make, tmp_path: Path, step: float
) -> None:
    offset = [0.0]
    manager = make_manager(clock=Clock(utc=lambda: time.time() + offset[0]))
    async with Feed(tmp_path / "fed") as feed:
        first = await start(manager, feed.spec)
        build = await feed.build()
        await build.write("fed\n")
        await until(first, lambda event: event.message == "fed\n")
        offset[0] = step
        # The second one joins the build, after the step.
        second = await start(manager, feed.spec)
        await until(second, lambda event: event.message == "fed\n")
        for launch in (first, second):
            curve, event = launch.last.curve, launch.last
            assert curve is not None
            before = launch.state()
            assert 0 <= before.now - event.time < WITHIN
            assert before.progress == pytest.approx(curve.at(before.now - event.time))
            assert event.progress <= before.progress <= launch.state().progress
        build.finish()
