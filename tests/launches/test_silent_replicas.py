"""Replicas that count as gone for a while, such as one that is paused, and then go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from binderprogress.channels.durable import Lease
from binderprogress.core.events import Encoded
from binderprogress.core.phases import Phase
from binderprogress.errors import LeaseLostError
from binderprogress.launches import Launch, LaunchManager
from binderprogress.launches.stored import decode_launch, retirement_lease, standby_lease, tail_of

from ..support.durable import DurableMemoryStore
from .lives import Life, check
from .parts import WITHIN, Feed, events_of, gen_test, keys, log_of, said, until


@asynccontextmanager
async def other_replica(life: Life) -> AsyncIterator[DurableMemoryStore]:
    """Yield the store of a replica that does only what a test says."""
    store = DurableMemoryStore(life.memory, "other")
    await store.open()
    yield store
    await store.shutdown()


async def taken_by(store: DurableMemoryStore, lease: str, *, silent: DurableMemoryStore) -> Lease:
    """Have another replica take a lease, while its owner is silent."""
    silent.memory.alive.discard(silent.replica)
    taken = await store.take(lease)
    silent.memory.alive.add(silent.replica)
    return taken


@gen_test
async def test_launches_go_on_if_the_replica_that_builds_the_same_is_silent(
    life: Life, tmp_path: Path
) -> None:
    await life.begin()
    async with Feed(tmp_path / "repository") as feed:
        await life.start(feed)
        await feed.build()
        first, silent = life.manager, life.store
        await life.begin()
        # It cannot be given launches.
        silent.pause()
        launches = [await life.start(feed) for _ in range(3)]
        (await feed.build()).finish()
        life.servers.start()
        streams = [await events_of(launch) for launch in launches]
        silent.wake_up()
        await first.close()
    for events in streams:
        assert keys(events) == list(range(1, len(events) + 1))
        assert (events[-1].phase, events[-1].reason) == (Phase.READY, "")


@gen_test
async def test_what_was_read_before_another_replica_took_a_launch_is_not_shown(
    life: Life, tmp_path: Path
) -> None:
    await life.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.spawning(feed)
        lease = await life.store.find(launch.lease)
        assert lease is not None
        stored, restorer = decode_launch(lease.state), life.manager._restorer
        earlier = msgspec.structs.replace(lease, fence=lease.fence - 1)
        with pytest.raises(LeaseLostError, match="meanwhile"):
            await restorer.launch(launch.id, stored, launch.build, taken=earlier)
        restored = await restorer.launch(launch.id, stored, launch.build, taken=lease)
        assert restored is not None and restored.last == launch.last
        restored.let_go(launch.build, is_shown=False)


@gen_test
async def test_a_build_ends_after_the_launch_that_was_cancelled(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If its server ended between them, the launch would go on with a build that never ended."""
    await life.begin()
    append, may_store = life.store.append, asyncio.Event()
    wanted = asyncio.Event()

    async def append_later(channel_id: str, events: Sequence[Encoded], *, expected: int) -> None:
        if channel_id.endswith(".tail"):
            wanted.set()
            await may_store.wait()
        await append(channel_id, events, expected=expected)

    monkeypatch.setattr(life.store, "append", append_later)
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.start(feed)
        await feed.build()
        build = launch.build
        assert build is not None
        life.manager.cancel(launch)
        async with asyncio.timeout(WITHIN):
            await wanted.wait()
            # Its processes have ended.
            while not build._leaving._launches:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)
            await asyncio.sleep(0)
            assert not life.memory.leases[build.lease].ended
            may_store.set()
            await asyncio.wait([build.task])
    assert life.memory.leases[build.lease].ended
    assert life.memory.channels[tail_of(launch.id)].last == launch.end


@gen_test
async def test_a_build_that_was_given_up_although_a_launch_has_it_goes_on(
    life: Life, tmp_path: Path
) -> None:
    await life.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.start(feed)
        build = await feed.build()
        await build.write("once\n")
        await until(launch, said("once"))
        assert launch.build is not None
        lease = launch.build.lease
        await life.kill()
        async with other_replica(life) as other:
            # It did not know yet that the launch has the build.
            taken = await other.take(lease)
            await other.end(lease, taken.state, expires=time.time() + 1000)
        await life.begin()
        again = await life.find(launch)
        build = await feed.build()
        await build.write("twice\n")
        build.finish()
        life.servers.start()
        events = await events_of(again)
        log = await log_of(again)
    check(events)
    assert (events[-1].phase, events[-1].reason) == (Phase.READY, "")
    assert log.index("once") < log.index("The server was restarted") < log.index("twice")


@gen_test
async def test_a_build_that_is_lost_at_its_end_is_no_failure_of_its_launches(
    life: Life, tmp_path: Path
) -> None:
    await life.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.start(feed)
        build = await feed.build()
        await build.write("before\n")
        await until(launch, said("before"))
        assert launch.build is not None
        async with other_replica(life) as other:
            # Only the build: it is gone before it can take the launch, too.
            await taken_by(other, launch.build.lease, silent=life.store)
            await build.write("never shown\n")
            build.finish()
            async with asyncio.timeout(WITHIN):
                await asyncio.wait([launch.build.task])
        # It is taken up again, from what is stored. The environment may have been complete.
        building = asyncio.create_task(_build(feed))
        life.servers.start()
        events = await events_of(await life.find(launch))
        building.cancel()
    check(events)
    assert (events[-1].phase, events[-1].reason) == (Phase.READY, "")
    assert "never shown" not in "".join(event.message for event in events)


async def _build(feed: Feed) -> None:
    (await feed.build()).finish()


async def _left(launch: Launch, manager: LaunchManager) -> None:
    async with asyncio.timeout(WITHIN):
        while launch.id in manager._running.tasks:
            await asyncio.wait([manager._running.tasks[launch.id]])


@pytest.mark.parametrize("is_ready", [False, True])
@pytest.mark.parametrize("is_stopping", [False, True])
@gen_test
async def test_a_server_is_stopped_if_its_launch_ended_without_it_at_another_replica(
    life: Life, tmp_path: Path, is_ready: bool, is_stopping: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that was paused may have asked for it once more."""
    may_hear = asyncio.Event()
    await life.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.spawning(feed)
        first, silent = life.manager, life.store
        find = silent.find

        async def find_later(name: str) -> Lease | None:
            await may_hear.wait()
            return await find(name)

        monkeypatch.setattr(silent, "find", find_later)
        silent.pause()
        await life.begin()
        again = await life.find(launch)
        if is_ready:
            life.servers.start()
        else:
            life.manager.cancel(again)
        events = await events_of(again)
        await _left(again, life.manager)
        stopped = [] if is_ready else [life.servers.asked[0].key]
        assert life.servers.stopped == stopped
        life.servers.ready.clear()
        silent.wake_up()
        if is_stopping:
            # It finds out while it hands its launches over, and leaves the server to the next one.
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(first.close(hand_over=True))
                async with asyncio.timeout(WITHIN):
                    while not first._running._runner.is_handing_over:  # noqa: ASYNC110 - no event
                        await asyncio.sleep(0.01)
                may_hear.set()
            await life.restart()
            await _cleaned_up(life)
        else:
            may_hear.set()
            await _left(launch, first)
            await first.close()
        assert life.servers.stopped == stopped * 2
    assert events[-1].phase is (Phase.READY if is_ready else Phase.CANCELLED)


async def _cleaned_up(life: Life) -> None:
    cleanups = life.manager._running._runner.cleanups
    async with asyncio.timeout(WITHIN):
        while any(name.startswith("cleanup.") for name in life.memory.leases):
            await asyncio.wait(cleanups._tasks)


@pytest.mark.parametrize("is_taken", [False, True])
@gen_test
async def test_a_server_that_stood_ready_is_not_stopped_once_a_launch_has_taken_it(
    life: Life, tmp_path: Path, is_taken: bool
) -> None:
    """Its replica was killed after it had stored that it stops it, and before it claimed it."""
    await life.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.spawning(feed)
        state = launch.stored(life.manager._ledger.codec)
        standby, cleanup = standby_lease("1"), retirement_lease("1")
        await life.store.lease(standby, b"")
        await life.store.lease(cleanup, state)
        if is_taken:
            await life.store.claim(standby, to=launch.lease, state=state)
        await life.kill()
        await life.begin()
        await _cleaned_up(life)
        (request,) = life.servers.asked[:1]
        assert life.servers.stopped == ([] if is_taken else [request.key])
        assert life.memory.leases[standby].ended
        life.servers.start()
        await events_of(await life.find(launch))


@gen_test
async def test_a_server_that_is_ready_is_not_stopped_if_the_first_events_were_not_closed_yet(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await life.begin()
    close = life.store.close

    async def close_no_head(channel_id: str) -> None:
        if channel_id.endswith(".head"):
            await asyncio.get_running_loop().create_future()
        await close(channel_id)

    monkeypatch.setattr(life.store, "close", close_no_head)
    async with Feed(tmp_path / "repository") as feed:
        launch = await life.start(feed)
        (await feed.build()).finish()
        life.servers.start()
        async with asyncio.timeout(WITHIN):
            while not launch.is_ready:  # noqa: ASYNC110 - nobody is told of it
                await asyncio.sleep(0.01)
        await life.kill()
        await life.begin()
        again = await life.find(launch)
        events = await events_of(again)
        await _left(again, life.manager)
    check(events)
    assert events[-1].phase is Phase.READY
    assert life.servers.stopped == []
