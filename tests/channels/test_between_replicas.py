"""What replicas that share a durable store ask of each other, and see of each other's channels."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping

import pytest

from binderprogress.channels.durable import ChannelState, DurableStore
from binderprogress.errors import LeaseLostError

from ..support.asynchronous import asynchronous
from ..support.replicas import ManyReplicas
from .test_conformance import event, events
from .test_durable_conformance import NAME, Changes, numbers, running, with_channel

Extents = Mapping[str, ChannelState] | None


@asynchronous(60)
async def test_a_lease_is_given_to_another_replica(many: ManyReplicas) -> None:
    async with (
        running(many.new()) as first,
        running(many.new()) as second,
        running(many.new()) as third,
    ):
        channel = await with_channel(first)
        told = Changes()
        stop = second.watch_owners(told)
        await first.give(NAME, second.replica)
        await told.more()
        stop()
        (given,) = await second.abandoned()
        assert (given.name, given.owner, given.fence) == (NAME, second.replica, 2)
        assert await first.abandoned() == await third.abandoned() == []
        for work in (
            first.append(channel, [event(4)], expected=3),
            first.renew(NAME, b""),
            first.give(NAME, third.replica),
            third.take(NAME),
        ):
            with pytest.raises(LeaseLostError):
                await work
        lease = await second.take(NAME)
        assert lease.fence == 3
        assert await second.abandoned() == []
        await second.append(channel, [event(4)], expected=3)
        assert await numbers(first, channel) == [1, 2, 3, 4]
        # Not once more: it runs it already.
        with pytest.raises(LeaseLostError):
            await second.take(NAME)


@asynchronous(60)
async def test_a_lease_is_not_given_to_nobody(many: ManyReplicas) -> None:
    async with running(many.new()) as first:
        channel = await with_channel(first)
        gone = many.new()
        await gone.open()
        await gone.shutdown()
        with pytest.raises(LeaseLostError):
            await first.give(NAME, gone.replica)
        with pytest.raises(LeaseLostError):
            await first.give("another", first.replica)
        await first.append(channel, [event(4)], expected=3)
        await first.end(NAME, b"", expires=time.time() + 1000)
        async with running(many.new()) as second:
            with pytest.raises(LeaseLostError):
                await first.give(NAME, second.replica)


@asynchronous(60)
async def test_what_was_given_to_a_replica_that_is_gone_is_abandoned(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as third:
        await with_channel(first)
        second = many.new()
        await second.open()
        await first.give(NAME, second.replica)
        told = Changes()
        stop = third.watch_owners(told)
        await second.shutdown()
        await told.more()
        stop()
        assert [each.name for each in await third.abandoned()] == [NAME]
        assert (await third.take(NAME)).fence == 3


@asynchronous(60)
async def test_an_owner_is_asked_by_any_replica(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        await with_channel(first)
        changes = Changes()
        stop = first.watch_lease(NAME, changes)
        await second.ask(NAME, "cancel")
        await changes.more()
        stop()
        lease = await first.find(NAME)
        assert lease is not None and (lease.asked, lease.fence) == ("cancel", 1)
        # Its state is not overwritten, nor the question by a new state.
        await first.renew(NAME, b"new")
        lease = await first.find(NAME)
        assert lease is not None and (lease.asked, lease.state) == ("cancel", b"new")
        await first.end(NAME, b"", expires=time.time() + 1000)
        for name in (NAME, "another"):
            with pytest.raises(LeaseLostError):
                await second.ask(name, "cancel")


@asynchronous(60)
async def test_an_owner_learns_of_viewers_elsewhere(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        await with_channel(first)
        lease = await first.find(NAME)
        assert lease is not None and lease.unseen == math.inf
        await second.seen([NAME, "another"])
        lease = await first.find(NAME)
        assert lease is not None and 0 <= lease.unseen < 30


async def known(
    store: DurableStore, changes: Changes, ids: list[str], condition: Callable[..., bool]
) -> dict[str, ChannelState]:
    """Await extents of channels that are followed."""
    while (extents := store.extents(ids)) is None or not condition(extents):
        await changes.more()
    return dict(extents)


@asynchronous(60)
async def test_channels_are_followed_before_they_exist(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        channel = await with_channel(first)
        changes, ids = Changes(), [channel, "later"]
        stop = second.follow(ids, changes)
        found = await known(second, changes, ids, lambda extents: True)
        assert found == {channel: ChannelState(1, 3, closed=False)}
        await first.create("later", first=7, lease=NAME)
        found = await known(second, changes, ids, lambda extents: "later" in extents)
        assert found["later"] == ChannelState(7, 6, closed=False)
        await first.append("later", events(7, 9), expected=6)
        await first.close("later")
        found = await known(second, changes, ids, lambda extents: extents["later"].closed)
        assert found["later"] == ChannelState(7, 9, closed=True)
        assert await numbers(second, "later") == [7, 8, 9]
        stop()
        count = changes.count
        await first.append(channel, [event(4)], expected=3)
        assert await numbers(second, channel) == [1, 2, 3, 4]
        assert changes.count == count


@asynchronous(60)
async def test_a_replica_follows_what_it_has_lost(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        channel = await with_channel(first)
        first.watch(channel, lambda last, closed: None)
        await first.give(NAME, second.replica)
        await second.take(NAME)
        changes = Changes()
        stop = first.follow([channel], changes)
        await second.append(channel, [event(4)], expected=3)
        await known(first, changes, [channel], lambda extents: extents[channel].last == 4)
        stop()


@asynchronous(60)
async def test_what_is_known_is_from_before_a_channel_that_is_not_there(
    many: ManyReplicas,
) -> None:
    """As with a launch that leaves its build: its next event depends on where that was then."""
    async with running(many.new()) as first, running(many.new()) as second:
        for number in range(30):
            name, build, tail = f"{NAME} {number}", f"build {number}", f"tail {number}"
            await first.lease(name, b"")
            await first.create(build, lease=name)
            changes, ids, seen = Changes(), [build, tail], list[Extents]()

            def changed(
                ids: list[str] = ids, seen: list[Extents] = seen, tell: Changes = changes
            ) -> None:
                # Whoever is told sees that at once, not only when all others were told, too.
                seen.append(second.extents(ids))
                tell()

            stop = second.follow(ids, changed)
            tasks = []
            for last in range(20):
                if last == 10:
                    tasks.append(first.create(tail, lease=name, first=last + 1))
                tasks.append(first.append(build, [event(last + 1)], expected=last))
            writing = asyncio.gather(*tasks)
            while (extents := second.extents(ids)) is None or extents[build].last < 20:
                await changes.more()
            await writing
            stop()
            for extents in seen:
                if extents is not None and tail not in extents:
                    assert extents[build].last <= 10


@asynchronous(60)
async def test_one_of_all_replicas_claims_a_lease(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        stores = {"launch/1": first, "launch/2": second}
        for name, store in stores.items():
            await store.lease(name, b"")
        for number in range(20):
            await first.lease(f"standby/{number}", b"")
        for number in range(20):
            claims = [
                store.claim(f"standby/{number}", to=name, state=b"%d" % number)
                for name, store in stores.items()
            ]
            results = await asyncio.gather(*claims)
            assert sorted(results) == [False, True]
            winner, loser = sorted(stores, key=lambda name: not results[list(stores).index(name)])
            claimed, other = await first.find(winner), await first.find(loser)
            assert claimed is not None and claimed.state == b"%d" % number
            assert other is not None and other.state != b"%d" % number
        # Only for a lease of its own.
        await first.lease("standby/last", b"")
        with pytest.raises(LeaseLostError):
            await second.claim("standby/last", to="launch/1", state=b"")
