"""What every durable store must do, with one process at a time. `conftest.py` lists the stores."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from binderprogress.channels.durable import ChannelState, DurableStore, Lease
from binderprogress.errors import (
    ChannelConflictError,
    ChannelNotFoundError,
    LeaseLostError,
    LeaseTakenError,
)

from ..support.asynchronous import asynchronous
from ..support.replicas import Replicas
from .test_conformance import WITHIN, event, events

NAME = "launch/penguins"


class Changes:
    """What a store has reported of a lease."""

    def __init__(self) -> None:
        self.count = 0
        self._came = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._came.set()

    async def more(self) -> None:
        """Await a report that comes after the last call of this."""
        async with asyncio.timeout(WITHIN):
            await self._came.wait()
        self._came.clear()


async def until(what: Callable[[], Any]) -> Any:
    """Await that a coroutine function returns something; return that."""
    async with asyncio.timeout(WITHIN):
        while not (found := await what()):  # noqa: ASYNC110 - a store says nothing of what ran out
            await asyncio.sleep(0.01)
    return found


@asynccontextmanager
async def running(store: DurableStore) -> AsyncIterator[DurableStore]:
    await store.open()
    try:
        yield store
    finally:
        await store.shutdown()


async def numbers(store: DurableStore, channel: str) -> list[int]:
    return [each.id for each in await store.read(channel, 0, limit=1000)]


async def with_channel(store: DurableStore, name: str = NAME, count: int = 3) -> str:
    """Create a lease with a channel; return the channel."""
    channel = f"channel of {name}"
    await store.lease(name, b"state", key=f"key of {name}")
    await store.create(channel, lease=name)
    if count:
        await store.append(channel, events(1, count), expected=0)
    return channel


# -- leases


@asynchronous(30)
async def test_a_lease_is_kept_as_it_was(durable: DurableStore) -> None:
    state = bytes(range(256)) * 100
    await durable.lease(NAME, state, key="gh/ada/penguins", user="ada")
    lease = Lease(
        name=NAME, state=state, owner=durable.replica, fence=1, key="gh/ada/penguins", user="ada"
    )
    assert await durable.find(NAME) == lease
    assert await durable.find_key("gh/ada/penguins") == lease
    assert await durable.find("launch/other") is None
    assert await durable.find_key("gh/ada/other") is None
    assert await durable.find_key("") is None
    await durable.renew(NAME, b"")
    found = await durable.find(NAME)
    assert found is not None and found.state == b""


@pytest.mark.parametrize(
    "value",
    ["null\0character", "half \ud800 of a character", "Zoë 日本 \\x00", "k" * 100_000, "'; --"],
)
@asynchronous(30)
async def test_keys_and_users_may_be_anything(durable: DurableStore, value: str) -> None:
    """Attack: names that a database rejects, so that the requests of others fail, too."""
    others = [durable.lease(f"launch/{number}", b"") for number in range(5)]
    await asyncio.gather(durable.lease(NAME, b"", key=value, user=value), *others)
    found = await durable.find_key(value)
    assert found is not None and (found.key, found.user) == (value, value)
    assert [lease.name for lease in await durable.leases("", user=value)] == [NAME]
    with pytest.raises(LeaseTakenError):
        await durable.lease("launch/other", b"", key=value)


@asynchronous(30)
async def test_a_name_and_a_key_are_taken_once(durable: DurableStore) -> None:
    await durable.lease(NAME, b"first", key="key")
    for name, key in ((NAME, "another"), (NAME, ""), ("launch/other", "key")):
        with pytest.raises(LeaseTakenError):
            await durable.lease(name, b"second", key=key)
    (lease,) = await durable.leases("")
    assert lease.state == b"first"
    # Any number may have no key.
    await durable.lease("launch/2", b"")
    await durable.lease("launch/3", b"")


@asynchronous(30)
async def test_one_of_many_gets_a_key(durable: DurableStore) -> None:
    results = await asyncio.gather(
        *(durable.lease(f"launch/{n}", b"", key="key") for n in range(20)), return_exceptions=True
    )
    assert results[0] is None
    assert all(isinstance(result, LeaseTakenError) for result in results[1:])
    assert len(await durable.leases("")) == 1


@asynchronous(30)
async def test_leases_are_listed_the_oldest_first(durable: DurableStore) -> None:
    for number, user in ((3, "ada"), (1, "bob"), (2, "ada")):
        await durable.lease(f"launch/{number}", b"", user=user)
    await durable.lease("build/1", b"")
    await durable.lease("Launch/4", b"")
    await durable.end("launch/3", b"", expires=time.time() + 1000)

    async def names(prefix: str, **which: Any) -> list[str]:
        return [lease.name for lease in await durable.leases(prefix, **which)]

    assert await names("launch/") == ["launch/3", "launch/1", "launch/2"]
    assert await names("launch/", ended=True) == ["launch/3"]
    assert await names("launch/", ended=False) == ["launch/1", "launch/2"]
    assert await names("launch/", user="ada") == ["launch/3", "launch/2"]
    assert await names("launch/", user="ada", ended=False) == ["launch/2"]
    assert await names("build/", user="") == ["build/1"]
    assert await names("launch/%") == await names("launch_") == []
    assert len(await names("")) == 5


@asynchronous(30)
async def test_a_lease_that_has_ended_frees_its_key(durable: DurableStore) -> None:
    await durable.lease(NAME, b"runs", key="key")
    await durable.end(NAME, b"over", expires=time.time() + 1000)
    assert await durable.find_key("key") is None
    found = await durable.find(NAME)
    assert found is not None and (found.state, found.ended, found.key) == (b"over", True, "")
    with pytest.raises(LeaseLostError):
        await durable.renew(NAME, b"again")
    with pytest.raises(LeaseTakenError):
        await durable.lease(NAME, b"again")
    await durable.lease("launch/other", b"", key="key")
    await durable.end(NAME, b"later", expires=time.time() + 2000)
    found = await durable.find(NAME)
    assert found is not None and found.state == b"later"


@asynchronous(30)
async def test_what_is_not_there_can_be_neither_renewed_nor_ended_nor_taken(
    durable: DurableStore,
) -> None:
    with pytest.raises(LeaseLostError):
        await durable.renew(NAME, b"")
    with pytest.raises(LeaseLostError):
        await durable.end(NAME, b"", expires=0.0)
    with pytest.raises(LeaseLostError):
        await durable.take(NAME)
    with pytest.raises(LeaseLostError):
        await durable.create("channel", lease=NAME)
    await durable.drop(NAME)
    assert await durable.leases("") == []
    with pytest.raises(ChannelNotFoundError):
        await durable.describe("channel")


@asynchronous(30)
async def test_the_lease_of_one_that_is_alive_cannot_be_taken(durable: DurableStore) -> None:
    await durable.lease(NAME, b"")
    assert await durable.abandoned() == []
    with pytest.raises(LeaseLostError):
        await durable.take(NAME)
    found = await durable.find(NAME)
    assert found is not None and found.fence == 1


@asynchronous(30)
async def test_a_lease_that_a_replica_gives_to_itself_has_to_be_taken(
    durable: DurableStore,
) -> None:
    channel = await with_channel(durable)
    await durable.give(NAME, durable.replica)
    # Twice changes nothing.
    await durable.give(NAME, durable.replica)
    for work in (
        durable.append(channel, [event(4)], expected=3),
        durable.create("another", lease=NAME),
        durable.renew(NAME, b""),
        durable.end(NAME, b"", expires=0.0),
    ):
        with pytest.raises(LeaseLostError):
            await work
    (lease,) = await durable.abandoned()
    taken = await durable.take(NAME)
    assert (taken.name, taken.owner) == (lease.name, durable.replica)
    assert taken.fence == lease.fence + 1
    await durable.append(channel, [event(4)], expected=3)
    assert await numbers(durable, channel) == [1, 2, 3, 4]
    assert await durable.abandoned() == []


@asynchronous(30)
async def test_a_lease_that_has_ended_goes_on(durable: DurableStore) -> None:
    channel = await with_channel(durable)
    await durable.create("closed", lease=NAME)
    await durable.close("closed")
    for name in (NAME, "launch/unknown"):
        with pytest.raises(LeaseLostError):
            await durable.revive(name)
    await durable.end(NAME, b"over", expires=time.time() + 1000)
    lease = await durable.revive(NAME)
    assert (lease.state, lease.ended, lease.fence) == (b"over", False, 2)
    assert await durable.find(NAME) == lease
    await durable.renew(NAME, b"again")
    await durable.append(channel, [event(4)], expected=3)
    with pytest.raises(ChannelConflictError):
        await durable.append("closed", [event(1)], expected=0)
    # Its key was free.
    await durable.lease("launch/other", b"", key="key")
    await durable.end(NAME, b"", expires=time.time() + 1000)


# -- channels of leases


@asynchronous(30)
async def test_the_extent_of_a_channel(durable: DurableStore) -> None:
    await durable.lease(NAME, b"")
    await durable.create("channel", first=7, lease=NAME)
    assert await durable.describe("channel") == ChannelState(7, 6, closed=False)
    await durable.append("channel", events(7, 9), expected=6)
    assert await durable.describe("channel") == ChannelState(7, 9, closed=False)
    await durable.close("channel")
    assert await durable.describe("channel") == ChannelState(7, 9, closed=True)


@asynchronous(30)
async def test_a_dropped_lease_is_gone_with_its_channels(durable: DurableStore) -> None:
    channel = await with_channel(durable)
    other = await with_channel(durable, "launch/other")
    changes = Changes()
    durable.watch_lease(NAME, changes)
    await durable.drop(NAME)
    await changes.more()
    assert await durable.find(NAME) is None
    with pytest.raises(ChannelNotFoundError):
        await durable.read(channel, 0, limit=1)
    with pytest.raises(ChannelNotFoundError):
        await durable.append(channel, [event(4)], expected=3)
    assert await numbers(durable, other) == [1, 2, 3]
    # Its name, its key and its channel are free.
    await with_channel(durable)


@asynchronous(30)
async def test_changes_of_a_lease_are_reported(durable: DurableStore) -> None:
    changes, ended = Changes(), Changes()
    await durable.lease(NAME, b"")
    durable.watch_lease(NAME, changes)
    stop = durable.watch_lease(NAME, ended)
    stop()
    stop()
    other = Changes()
    durable.watch_lease("launch/other", other)
    await durable.renew(NAME, b"1")
    await changes.more()
    await durable.end(NAME, b"2", expires=time.time() + 1000)
    await changes.more()
    await durable.drop(NAME)
    await changes.more()
    assert (ended.count, other.count) == (0, 0)


@asynchronous(60)
async def test_changes_are_made_in_the_order_in_which_they_are_requested(
    durable: DurableStore,
) -> None:
    """Requests that nobody waits for between them, of all kinds, one after the other."""
    await durable.lease(NAME, b"0")
    tasks: list[asyncio.Task[None]] = []

    def request(work: Any) -> None:
        tasks.append(asyncio.create_task(work))

    for number in range(1, 51):
        request(durable.renew(NAME, b"%d" % number))
        request(durable.create(f"{number}", lease=NAME))
        request(durable.append(f"{number}", events(1, number), expected=0))
        request(durable.close(f"{number}"))
        request(durable.lease(f"launch/{number}", b""))
        request(durable.end(f"launch/{number}", b"", expires=time.time() + 1000))
    while not all(task.done() for task in tasks):
        # Whoever sees one of them sees those before it.
        found = await durable.find(NAME)
        seen = int(found.state) if found else 0
        for number in range(1, seen):
            assert await durable.describe(f"{number}") == ChannelState(1, number, closed=True)
            lease = await durable.find(f"launch/{number}")
            assert lease is not None and lease.ended
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    found = await durable.find(NAME)
    assert found is not None and found.state == b"50"


# -- one process after the other


@asynchronous(60)
async def test_the_next_process_goes_on_where_one_was_killed(replicas: Replicas) -> None:
    first = replicas.new()
    await first.open()
    channel = await with_channel(first)
    closed = await with_channel(first, "launch/closed")
    await first.close(closed)
    await first.lease("launch/over", b"")
    await first.end("launch/over", b"", expires=time.time() + 1000)
    await replicas.kill(first)
    async with running(replicas.new()) as second:
        assert second.replica != first.replica
        abandoned = await until(second.abandoned)
        assert [lease.name for lease in abandoned] == [NAME, "launch/closed"]
        assert {lease.owner for lease in abandoned} == {first.replica}
        # Before it is taken, it can be read, but not changed.
        assert await numbers(second, channel) == [1, 2, 3]
        for work in (
            second.append(channel, [event(4)], expected=3),
            second.close(channel),
            second.discard(channel),
            second.create("another", lease=NAME),
            second.renew(NAME, b""),
            second.end(NAME, b"", expires=0.0),
        ):
            with pytest.raises(LeaseLostError):
                await work
        # Neither can what has ended.
        for name in (NAME, "launch/over"):
            await second.drop(name)
            assert await second.find(name) is not None
        changes = Changes()
        second.watch_lease(NAME, changes)
        lease = await second.take(NAME)
        await changes.more()
        assert (lease.state, lease.owner, lease.fence) == (b"state", second.replica, 2)
        assert await second.find(NAME) == lease
        with pytest.raises(LeaseLostError):
            await second.take(NAME)
        with pytest.raises(LeaseLostError):
            await second.take("launch/over")
        with pytest.raises(ChannelConflictError):
            await second.append(channel, [event(3)], expected=2)
        await second.append(channel, events(4, 5), expected=3)
        await second.close(channel)
        assert await numbers(second, channel) == [1, 2, 3, 4, 5]
        assert (await second.take("launch/closed")).fence == 2
        with pytest.raises(ChannelConflictError):
            await second.append(closed, [event(4)], expected=3)
        assert await second.abandoned() == []


@asynchronous(60)
async def test_a_replica_that_stops_hands_its_leases_over(replicas: Replicas) -> None:
    for fence in range(1, 4):
        async with running(replicas.new()) as store:
            if fence == 1:
                await with_channel(store, count=0)
            else:
                # At once: nobody waits for something to run out.
                (abandoned,) = await store.abandoned()
                assert abandoned.fence == fence - 1
                assert (await store.take(NAME)).fence == fence
            await store.append(f"channel of {NAME}", [event(fence)], expected=fence - 1)


@asynchronous(60)
async def test_what_was_requested_is_done_before_it_stops(replicas: Replicas) -> None:
    store = replicas.new()
    await store.open()
    channel = await with_channel(store, count=0)
    tasks = [
        asyncio.create_task(store.append(channel, [event(number)], expected=number - 1))
        for number in range(1, 101)
    ]
    await asyncio.sleep(0)
    await store.shutdown()
    await asyncio.gather(*tasks)
    async with running(replicas.new()) as following:
        assert len(await numbers(following, channel)) == 100


@asynchronous(60)
async def test_a_watcher_hears_what_a_lease_does_after_it_was_taken(replicas: Replicas) -> None:
    first = replicas.new()
    await first.open()
    channel = await with_channel(first)
    await replicas.kill(first)
    async with running(replicas.new()) as second:
        heard: list[tuple[int, bool]] = []
        over = asyncio.Event()

        def listener(last: int, closed: bool) -> None:
            heard.append((last, closed))
            if closed:
                over.set()

        second.watch(channel, listener)
        await until(second.abandoned)
        await second.take(NAME)
        for number in range(4, 8):
            await second.append(channel, [event(number)], expected=number - 1)
        await second.close(channel)
        async with asyncio.timeout(WITHIN):
            await over.wait()
        assert heard == sorted(heard)
        assert heard[-1] == (7, True)
        assert await numbers(second, channel) == [1, 2, 3, 4, 5, 6, 7]


@asynchronous(30)
async def test_a_lease_is_claimed_once(durable: DurableStore) -> None:
    for name in ("standby/1", "launch/1", "launch/2"):
        await durable.lease(name, b"before", key=f"key of {name}")
    changes = [Changes(), Changes()]
    for name, each in zip(("standby/1", "launch/1"), changes, strict=True):
        durable.watch_lease(name, each)
    assert await durable.claim("standby/1", to="launch/1", state=b"has it")
    for each in changes:
        await each.more()
    claimed, mine = await durable.find("standby/1"), await durable.find("launch/1")
    assert claimed is not None and claimed.ended and claimed.key == ""
    assert mine is not None and (mine.state, mine.ended) == (b"has it", False)
    assert await durable.leases("standby/", ended=False) == []
    # Neither by the same one nor by another, nor what was never there.
    for name, to in (("standby/1", "launch/1"), ("standby/1", "launch/2"), ("other", "launch/2")):
        assert not await durable.claim(name, to=to, state=b"changed")
    other = await durable.find("launch/2")
    assert other is not None and other.state == b"before"


@asynchronous(30)
async def test_what_has_ended_claims_nothing(durable: DurableStore) -> None:
    for name in ("standby/1", "launch/1"):
        await durable.lease(name, b"before")
    await durable.end("launch/1", b"over", expires=time.time() + 1000)
    for name in ("launch/1", "launch/2"):
        with pytest.raises(LeaseLostError):
            await durable.claim("standby/1", to=name, state=b"")
    claimed = await durable.find("standby/1")
    assert claimed is not None and not claimed.ended
