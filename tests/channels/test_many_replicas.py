"""What every durable store must do that several processes can use at once."""

from __future__ import annotations

import asyncio
import time

import pytest

from binderprogress.channels.durable import ChannelState, DurableStore
from binderprogress.errors import ChannelConflictError, LeaseLostError, LeaseTakenError

from ..support.asynchronous import asynchronous
from ..support.replicas import ManyReplicas
from .test_conformance import Watcher, event, events
from .test_durable_conformance import NAME, Changes, numbers, running, until, with_channel


@asynchronous(60)
async def test_a_replica_that_is_alive_keeps_its_leases(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        channel = await with_channel(first)
        assert first.replica != second.replica
        lease = await second.find(NAME)
        assert lease is not None and lease.owner == first.replica
        assert await second.find_key(f"key of {NAME}") == lease
        assert await second.abandoned() == []
        for work in (
            second.take(NAME),
            second.renew(NAME, b""),
            second.end(NAME, b"", expires=0.0),
            second.append(channel, [event(4)], expected=3),
            second.close(channel),
            second.discard(channel),
            second.create("another", lease=NAME),
        ):
            with pytest.raises(LeaseLostError):
                await work
        await second.drop(NAME)
        assert await first.find(NAME) == lease
        assert await numbers(second, channel) == [1, 2, 3]
        assert await second.describe(channel) == ChannelState(1, 3, closed=False)


@asynchronous(60)
async def test_one_of_all_replicas_gets_a_key(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        for number in range(20):
            key = f"key {number}"
            results = await asyncio.gather(
                *(
                    store.lease(f"build/{number}-{place}", b"", key=key)
                    for place, store in enumerate([first, second])
                ),
                return_exceptions=True,
            )
            failures = [result for result in results if result is not None]
            assert [type(failure) for failure in failures] == [LeaseTakenError]
            one, other = await asyncio.gather(first.find_key(key), second.find_key(key))
            assert one == other and one is not None
            assert one.owner == (first.replica if results[0] is None else second.replica)


@asynchronous(60)
async def test_a_paused_owner_can_change_nothing_when_it_wakes_up(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        channel = await with_channel(first)
        empty = "created, and nothing in it"
        await first.create(empty, lease=NAME)
        seen = Watcher()
        second.watch(channel, seen)
        await many.pause(first)
        (abandoned,) = await until(second.abandoned)
        assert (abandoned.name, abandoned.owner) == (NAME, first.replica)
        lease = await second.take(NAME)
        assert lease.fence == 2
        await second.append(channel, [event(4, "of the second")], expected=3)
        for work in (
            first.append(channel, [event(4, "of the first")], expected=3),
            first.append(channel, [event(5, "of the first")], expected=4),
            first.append(empty, [event(1, "of the first")], expected=0),
            first.close(channel),
            first.discard(channel),
            first.create("another", lease=NAME),
            first.renew(NAME, b"of the first"),
            first.end(NAME, b"of the first", expires=0.0),
            first.take(NAME),
        ):
            with pytest.raises(LeaseLostError):
                await work
        await first.drop(NAME)
        await second.append(channel, [event(5, "of the second")], expected=4)
        await second.close(channel)
        await seen.has(5, closed=True)
        for store in (first, second):
            stored = await store.read(channel, 0, limit=100)
            assert [each.id for each in stored] == [1, 2, 3, 4, 5]
            assert [each.event.message for each in stored[3:]] == ["of the second"] * 2
            assert await store.describe(empty) == ChannelState(1, 0, closed=False)
            assert await store.find(NAME) == lease


@asynchronous(60)
async def test_one_of_many_takes_what_is_abandoned(many: ManyReplicas) -> None:
    gone = many.new()
    await gone.open()
    names = [f"launch/{number}" for number in range(20)]
    for name in names:
        await gone.lease(name, b"")
    async with running(many.new()) as first, running(many.new()) as second:
        await many.kill(gone)
        while len(await first.abandoned()) < len(names):  # noqa: ASYNC110 - its time has to run out
            await asyncio.sleep(0.01)
        takes = [store.take(name) for name in names for store in (first, second)]
        results = await asyncio.gather(*takes, return_exceptions=True)
        for number, name in enumerate(names):
            pair = results[2 * number : 2 * number + 2]
            (lost,) = [each for each in pair if isinstance(each, BaseException)]
            (lease,) = [each for each in pair if not isinstance(each, BaseException)]
            assert isinstance(lost, LeaseLostError)
            assert lease.fence == 2
            assert await first.find(name) == lease


async def follow(store: DurableStore, channel: str, last: int) -> list[bytes]:
    """Read a channel as a viewer does, until its last event."""
    came = asyncio.Event()
    stop = store.watch(channel, lambda last, closed: came.set())
    read: list[bytes] = []
    while len(read) < last:
        found = store.read_nowait(channel, len(read), limit=50)
        if found is None:
            found = await store.read(channel, len(read), limit=50)
        read += [each.sse for each in found]
        if not found:
            await came.wait()
            came.clear()
    stop()
    return read


@asynchronous(60)
async def test_viewers_of_another_replica_get_the_same_bytes(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        channel = await with_channel(first, count=0)
        followers = [
            asyncio.create_task(follow(store, channel, 2000)) for store in (first, second, second)
        ]
        last = 0
        for size in [1, 2, 500, 7] * 4:
            size = min(size, 2000 - last)
            batch = [event(last + n, f"line {last + n}") for n in range(1, size + 1)]
            if batch:
                await first.append(channel, batch, expected=last)
            last += size
        assert last == 2000
        await first.close(channel)
        one, *others = await asyncio.gather(*followers)
        assert len(one) == 2000
        assert all(other == one for other in others)


@asynchronous(60)
async def test_watchers_on_another_replica_hear_of_events_and_of_the_end(
    many: ManyReplicas,
) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        channel = await with_channel(first)
        watcher, gone = Watcher(), Watcher()
        second.watch(channel, watcher)
        second.watch(channel, gone)()
        for number in range(4, 10):
            await first.append(channel, [event(number)], expected=number - 1)
            # What is reported can be read.
            await watcher.has(number, closed=False)
            assert (await numbers(second, channel))[-1] >= number
        await first.close(channel)
        await watcher.has(9, closed=True)
        assert watcher.reports == sorted(watcher.reports)
        assert gone.reports == []


@asynchronous(60)
async def test_changes_of_a_lease_are_reported_on_another_replica(many: ManyReplicas) -> None:
    async with running(many.new()) as second:
        first = many.new()
        await first.open()
        await first.lease(NAME, b"0")
        changes = Changes()
        second.watch_lease(NAME, changes)
        for number in range(1, 5):
            await first.renew(NAME, b"%d" % number)
            await changes.more()
            lease = await second.find(NAME)
            assert lease is not None and lease.state == b"%d" % number
        # It is handed over at once.
        await first.shutdown()
        assert [each.name for each in await second.abandoned()] == [NAME]
        await second.take(NAME)
        await second.end(NAME, b"over", expires=time.time() + 1000)


@asynchronous(60)
async def test_a_writer_does_not_overwrite_what_its_successor_wrote(many: ManyReplicas) -> None:
    """Each replica takes the lease from the one before, which was silent for too long."""
    stores = [many.new() for _ in range(3)]
    for store in stores:
        await store.open()
    channel = await with_channel(stores[0], count=0)
    owner, last = stores[0], 0
    for following in stores[1:]:
        await owner.append(channel, events(last + 1, last + 5), expected=last)
        last += 5
        await many.pause(owner)
        await until(following.abandoned)
        await following.take(NAME)
        with pytest.raises(LeaseLostError):
            await owner.append(channel, [event(last + 1)], expected=last)
        with pytest.raises(ChannelConflictError):
            await following.append(channel, [event(last)], expected=last - 1)
        owner = following
    await owner.append(channel, [event(last + 1)], expected=last)
    for store in stores:
        assert await numbers(store, channel) == list(range(1, last + 2))
        await store.shutdown()
