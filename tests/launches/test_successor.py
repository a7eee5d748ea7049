"""Launches that go on after their server was stopped or killed, by a successor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from binderprogress.backends.base import (
    Attempt,
    LaunchRequest,
    Record,
    ResolvedSpec,
    RunningServer,
)
from binderprogress.core.phases import Phase
from binderprogress.core.specs import Spec
from binderprogress.errors import NotFoundError, StorageError
from binderprogress.launches import runner as runner_module
from binderprogress.launches import successor as successor_module
from binderprogress.launches.followers import CANCEL
from binderprogress.launches.stored import cleanup_lease, decode_build, encode
from binderprogress.launches.turns import Turns

from ..support.asynchronous import asynchronous
from ..support.durable import DurableMemoryStore
from ..support.long import usually
from .lives import Ending, Life, Servers, check, seen_of
from .parts import WITHIN, Feed, children_named, events_of, gen_test, log_of, said, until


@gen_test
async def test_a_spawn_goes_on_with_the_same_server(
    life: Life, restart: Ending, tmp_path: Path
) -> None:
    await life.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.start(feed)
        build = await feed.build()
        await build.write("built before\n")
        build.finish()
        await until(launch, said("Spawning server"))
        seen = await seen_of(launch)
        await restart(life)
        again = await life.find(launch)
        assert again is not launch
        life.servers.say("80 Server is nearly there")
        await until(again, said("nearly there"))
        # What was shown stays as it was, and what JupyterHub says again is not shown again.
        assert (await seen_of(again))[: len(seen)] == seen
        life.servers.start()
        events = await events_of(again)
    check(events)
    assert [event.message for event in events].count("Spawning server...\n") == 1
    assert events[-1].phase is Phase.READY
    first, second = life.servers.asked
    assert (first.key, first.token) == (second.key, second.token)
    assert events[-1].token == first.token
    assert life.servers.stopped == []
    assert "built before" in await log_of(again)
    spans = again.spans()
    assert spans[0].phase is Phase.WAITING
    assert {Phase.BUILDING, Phase.LAUNCHING} <= {span.phase for span in spans}


@gen_test
async def test_a_local_build_is_started_again_once(
    life: Life, restart: Ending, tmp_path: Path
) -> None:
    await life.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.start(feed)
        build = await feed.build()
        await build.write("in vain\n")
        await until(launch, said("in vain"))
        seen = await seen_of(launch)
        await restart(life)
        assert await build.gone()
        again = await life.find(launch)
        build = await feed.build()
        await build.write("not in vain\n")
        build.finish()
        life.servers.start()
        events = await events_of(again)
        assert [e.sse for e in await again.read(0, limit=len(seen))] == seen
    check(events)
    assert events[-1].phase is Phase.READY
    told = [event for event in events if "The server was restarted" in event.message]
    assert [event.attempt for event in told] == [2]
    log = await log_of(again)
    assert log.count("in vain") == 2
    assert "The server was restarted during the build." in log


@pytest.mark.fault(
    part="The server",
    fault="is killed by the same build again",
    promise="the build is started once more, and then fails",
)
@gen_test
async def test_a_build_that_ends_the_server_is_not_started_for_ever(
    life: Life, tmp_path: Path
) -> None:
    await life.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.start(feed)
        for _ in range(2):
            build = await feed.build()
            await life.kill()
            assert await build.gone()
            await life.begin()
        again = await life.find(launch)
        events = await events_of(again)
        assert feed.waiting == 0
    check(events)
    assert (events[-1].phase, events[-1].reason) == (Phase.FAILED, "server-restarted")
    assert events[-1].retry


@gen_test
async def test_launches_that_share_a_build_share_it_afterwards(
    life: Life, restart: Ending, tmp_path: Path
) -> None:
    await life.begin()
    async with Feed(tmp_path / "repository") as feed:
        first, second = await life.start(feed), await life.start(feed)
        build = await feed.build()
        await until(second, lambda event: event.phase is Phase.BUILDING)
        await restart(life)
        assert await build.gone()
        build = await feed.build()
        build.finish()
        life.servers.start()
        for launch in (first, second):
            events = await events_of(await life.find(launch))
            check(events)
            assert events[-1].phase is Phase.READY
        assert feed.waiting == 0
    assert len({request.key for request in life.servers.asked}) == 2


class Crowd(Servers):
    """Servers that answer the requests after a restart one by one, when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[asyncio.Event] = []
        self.came = asyncio.Event()

    async def launch(
        self, request: LaunchRequest[ResolvedSpec, object]
    ) -> AsyncGenerator[Record | Attempt | RunningServer, None]:
        if request.resumed:
            answer = asyncio.Event()
            self.waiting.append(answer)
            self.came.set()
            await answer.wait()
        async with aclosing(super().launch(request)) as items:
            async for item in items:
                yield item


@pytest.mark.long
@gen_test
async def test_only_a_few_launches_ask_at_the_same_time_after_a_restart(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "Turns", lambda _: Turns(2, patience=10 * WITHIN))
    crowd = life.servers = Crowd()
    await life.begin()
    async with Feed(tmp_path / "repository") as feed:
        launches = [await life.start(feed) for _ in range(5)]
        (await feed.build()).finish()
        for launch in launches:
            await until(launch, said("Spawning server"))
        await life.restart()
        for answered in range(5):
            async with asyncio.timeout(WITHIN):
                while len(crowd.waiting) < min(answered + 2, 5):
                    crowd.came.clear()
                    await crowd.came.wait()
            # Whoever else would ask has had the time.
            await asyncio.sleep(0)
            assert len(crowd.waiting) == min(answered + 2, 5)
            crowd.waiting[answered].set()
        crowd.start()
        for launch in launches:
            assert (await events_of(await life.find(launch)))[-1].phase is Phase.READY


@asynchronous(30)
async def test_a_launch_without_an_answer_does_not_hold_up_others_for_long() -> None:
    turns = Turns(1, patience=0.01)
    async with turns.take(), turns.take():
        pass


@asynchronous(30)
async def test_a_turn_that_is_ended_twice_is_given_back_once() -> None:
    turns = Turns(1)
    async with turns.take() as turn:
        turn.end()
        turn.end()
    async with turns.take():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0), turns.take():
                pass


@gen_test
async def test_a_launch_that_is_over_can_be_read_by_the_next_server(
    life: Life, restart: Ending, tmp_path: Path
) -> None:
    await life.begin()
    life.servers.start()
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.start(feed)
        (await feed.build()).finish()
        events = await events_of(launch)
        seen, log, spans = await seen_of(launch), await log_of(launch), launch.spans()
        while life.manager.running:
            await asyncio.wait(list(life.manager._running.tasks.values()))
        await restart(life)
        again = await life.find(launch)
        assert await seen_of(again) == seen
        assert await events_of(again) == events
        assert await log_of(again) == log
        assert again.spans() == spans
        assert again.state().phase is Phase.READY
        assert life.manager.running == 0
        with pytest.raises(NotFoundError):
            await life.manager.find(launch.id, user="eve")
        with pytest.raises(NotFoundError):
            await life.manager.find("unknown", user="ada")
    assert len(life.servers.asked) == 1


@gen_test
async def test_a_server_that_cannot_be_stopped_is_left_to_the_next_server(
    life: Life, restart: Ending, tmp_path: Path
) -> None:
    await life.begin()
    life.servers.refuses = True
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.spawning(feed)
        life.manager.cancel(launch)
        await events_of(launch)
        while life.manager.running:
            await asyncio.wait(list(life.manager._running.tasks.values()))
    name = cleanup_lease(launch.id)
    assert not life.memory.leases[name].ended
    # It counts neither as a running launch, nor as one that is not over.
    assert life.memory.leases[launch.lease].ended
    life.servers.asked_to_stop.clear()
    await restart(life)
    assert life.manager.running == 0
    async with asyncio.timeout(WITHIN):
        await life.servers.asked_to_stop.wait()
        # It still cannot, and the launcher goes on.
        assert life.servers.removals == []
        assert name in life.memory.leases
        life.servers.accepts.set()
        await asyncio.wait(life.manager._running._runner.cleanups._tasks)
    assert name not in life.memory.leases
    (request,) = life.servers.asked
    assert life.servers.stopped == [request.key] * 2
    assert life.servers.removals == [request.key]


@gen_test
async def test_a_clean_up_that_cannot_be_decoded_is_given_up(life: Life) -> None:
    await life.begin()
    await life.store.lease(cleanup_lease("unknown"), b"nonsense")
    manager = await life.restart()
    await asyncio.wait(manager._running._runner.cleanups._tasks, timeout=WITHIN)
    assert life.memory.leases == {}
    assert life.servers.stopped == []


@gen_test
async def test_the_server_of_a_cancelled_launch_is_stopped_by_the_next_server(
    life: Life, tmp_path: Path
) -> None:
    await life.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.spawning(feed)
        # Cancelled, and killed before anything is cleaned up.
        launch.tail().cancel("cancelled")
        await launch.flush()
        await life.kill()
        await life.begin()
        again = await life.find(launch)
        events = await events_of(again)
        async with asyncio.timeout(WITHIN):
            while not life.servers.stopped:
                await asyncio.wait(list(life.manager._running.tasks.values()))
    check(events)
    assert events[-1].phase is Phase.CANCELLED
    (request,) = life.servers.asked
    assert life.servers.stopped == [request.key]


@pytest.mark.parametrize("during", usually(["build", "spawn"], "spawn"))
@gen_test
async def test_who_cancels_at_another_replica_while_the_owner_is_gone_is_obeyed_by_the_next_one(
    life: Life, tmp_path: Path, during: str
) -> None:
    await life.begin()
    async with Feed(tmp_path / "repository") as feed:
        if during == "build":
            launch = await life.start(feed)
            await feed.build()
        else:
            launch = await life.spawning(feed)
        await life.kill()
        await DurableMemoryStore(life.memory, "another").ask(launch.lease, CANCEL)
        await life.begin()
        events = await events_of(await life.find(launch))
        async with asyncio.timeout(WITHIN):
            while tasks := [
                *life.manager._running.tasks.values(),
                *life.manager._running._builds.tasks,
            ]:
                await asyncio.wait(tasks)
        check(events)
        assert events[-1].phase is Phase.CANCELLED
        # Nothing goes on, in no process.
        assert life.servers.stopped == [request.key for request in life.servers.asked]
        assert await life.store.leases("", ended=False) == []
        assert feed.waiting == 0


@pytest.mark.fault(
    part="The server",
    fault="is paused until another one has taken over, and wakes up",
    promise="it changes nothing",
)
@gen_test
async def test_a_paused_server_that_wakes_up_changes_nothing(life: Life, tmp_path: Path) -> None:
    await life.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.spawning(feed)
        paused, old = life.manager, life.store
        old.pause()
        await life.begin()
        again = await life.find(launch)
        await until(again, said("Spawning server"))
        # It wakes up, and goes on where it was.
        life.servers.say("70 Nearly")
        await until(again, said("Nearly"))
        async with asyncio.timeout(WITHIN):
            while paused._running.tasks:
                await asyncio.wait(list(paused._running.tasks.values()))
        life.servers.start()
        events = await events_of(again)
        await paused.close()
    check(events)
    assert [event.message for event in events].count("Nearly\n") == 1
    assert events[-1].phase is Phase.READY
    assert life.servers.stopped == []


@pytest.mark.long
@gen_test
async def test_a_paused_server_that_wakes_up_while_it_resolves_ends_nothing(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await life.begin()
    # It has not heard yet that another server has the lease.
    monkeypatch.setattr(life.store, "watch_lease", lambda *_: lambda: None)
    resolve, may_go_on = life.manager._running._runner._backend.resolve, asyncio.Event()

    async def resolve_late(spec: Spec) -> ResolvedSpec:
        await may_go_on.wait()
        return await resolve(spec)

    async with Feed(tmp_path / "repository") as feed:
        monkeypatch.setattr(life.manager._running._runner._backend, "resolve", resolve_late)
        launch = await life.start(feed)
        while not await seen_of(launch):  # noqa: ASYNC110 - until the first one is stored
            await asyncio.sleep(0)
        paused, old = life.manager, life.store
        old.pause()
        await life.begin()
        again = await life.find(launch)
        (await feed.build()).finish()
        life.servers.start()
        events = await events_of(again)
        while life.manager.running:
            await asyncio.wait(list(life.manager._running.tasks.values()))
        # It wakes up, and nobody builds that any more.
        may_go_on.set()
        async with asyncio.timeout(WITHIN):
            while paused._running.tasks:
                await asyncio.wait(list(paused._running.tasks.values()))
        # What it shows is what is stored.
        seen = await seen_of(launch)
        await paused.close()
    check(events)
    assert events[-1].phase is Phase.READY
    assert seen == (await seen_of(again))[: len(seen)]


@gen_test
async def test_ends_leave_nothing_to_take_up(life: Life, tmp_path: Path) -> None:
    await life.begin()
    life.servers.start()
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.start(feed)
        (await feed.build()).finish()
        await events_of(launch)
        while life.manager.running:
            await asyncio.wait(list(life.manager._running.tasks.values()))
    assert [lease.name for lease in life.memory.leases.values() if not lease.ended] == []
    assert not children_named(str(tmp_path))


@gen_test
async def test_a_running_server_takes_over_from_one_that_is_gone(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(successor_module, "_LOOK", 0.05)
    await life.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.spawning(feed)
        gone, store = life.manager, life.store
        await life.begin()
        assert not life.manager.running
        life.manager, other = gone, life.manager
        life.store, store = store, life.store
        await life.kill()
        life.manager, life.store = other, store
        async with asyncio.timeout(WITHIN):
            while not life.manager.running:  # noqa: ASYNC110 - it looks from time to time
                await asyncio.sleep(0.01)
        life.servers.start()
        events = await events_of(await life.find(launch))
    check(events)
    assert events[-1].phase is Phase.READY


@pytest.mark.long
@pytest.mark.fault(
    part="The launches' database",
    fault="is away during a build",
    promise="nothing is shown that is not stored, and everything is shown when it is back",
)
@gen_test
async def test_what_happens_while_the_store_is_away_is_shown_when_it_is_back(
    life: Life, tmp_path: Path
) -> None:
    await life.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.start(feed)
        build = await feed.build()
        await build.write("before\n")
        await until(launch, said("before"))
        last = launch.end
        life.store.away = True
        for number in range(100):
            await build.write(f"meanwhile {number}\n")
        async with asyncio.timeout(WITHIN):
            while not life.manager.storage.count:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)
        # Nobody waits in vain, and nothing is shown that is not stored.
        with pytest.raises(StorageError):
            await life.start(feed)
        assert launch.end == last
        life.store.away = False
        build.finish()
        life.servers.start()
        events = await events_of(launch)
    check(events)
    log = "".join(event.message for event in events)
    assert log.count("meanwhile") == 100
    assert events[-1].phase is Phase.READY
    assert life.manager.storage.count == 0


@pytest.mark.long
@gen_test
async def test_what_cannot_be_decoded_keeps_no_other_launch_from_going_on(
    life: Life, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await life.begin()
    async with Feed(tmp_path / "first") as first, Feed(tmp_path / "second") as second:
        broken, whole = await life.start(first), await life.start(second)
        await first.build()
        await second.build()
        await life.kill()
        lease = life.memory.leases[f"launch.{broken.id}"]
        life.memory.leases[lease.name] = msgspec.structs.replace(lease, state=b"of a newer version")
        await life.begin()
        (await second.build()).finish()
        life.servers.start()
        events = await events_of(await life.find(whole))
        assert first.waiting == 0
    check(events)
    assert events[-1].phase is Phase.READY
    assert life.memory.leases[lease.name].ended
    assert "A launch cannot be taken up again" in caplog.text


@pytest.mark.long
@gen_test
async def test_launches_of_another_backend_can_be_read_or_are_left_out(
    life: Life, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await life.begin()
    life.servers.start()
    async with Feed(tmp_path / "first") as first, Feed(tmp_path / "second") as second:
        launches = [await life.start(first), await life.start(second)]
        for feed, launch in zip([first, second], launches, strict=True):
            (await feed.build()).finish()
            await events_of(launch)
    readable, unreadable = launches
    seen = await seen_of(readable)
    await life.manager.close(hand_over=True)
    # The results of both builds are of another kind now, and the resolved spec of the second one.
    for launch, change in (readable, {}), (unreadable, {"resolved": b"\xc3"}):
        lease = life.memory.leases[f"build.{launch.build_id}"]
        stored = msgspec.structs.replace(decode_build(lease.state), result=b"\xc3", **change)
        life.memory.leases[lease.name] = msgspec.structs.replace(lease, state=encode(stored))
    await life.begin()
    for _ in range(2):
        assert [one.id for one in await life.manager.of("ada")] == [readable.id]
    assert await seen_of(await life.find(readable)) == seen
    with pytest.raises(NotFoundError):
        await life.find(unreadable)
    assert caplog.text.count(f"launch.{unreadable.id} cannot be shown") == 1
