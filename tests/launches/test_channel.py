"""A writer's channel: events are stored in batches, and shown once they are stored."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import pytest

from binderprogress.channels.base import ChannelStore, Meter
from binderprogress.channels.durable import ChannelState
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.events import Encoded, Event
from binderprogress.core.phases import Phase
from binderprogress.errors import ChannelConflictError, StorageError, StreamError
from binderprogress.launches.channel import Channel
from binderprogress.launches.channel_factory import Channels

from ..support.asynchronous import asynchronous
from ..support.channels import FailingChannelStore, SuspendingChannelStore


def event(number: int) -> Event:
    return Event(id=number, phase=Phase.WAITING, time=0.0, elapsed=0.0, progress=0.0)


def write(channel: Channel, last: int) -> None:
    for number in range(channel.written + 1, last + 1):
        channel.append(event(number))


async def numbers(channel: Channel) -> list[int]:
    return [encoded.id for encoded in await channel.read(0, limit=1000)]


class Batches(MemoryChannelStore):
    """A store that records the batches."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def append_soon(
        self,
        channel_id: str,
        events: Sequence[Encoded],
        *,
        expected: int,
        done: Callable[[Exception | None], None],
    ) -> None:
        self.sizes.append(len(events))
        super().append_soon(channel_id, events, expected=expected, done=done)


class Reluctant(SuspendingChannelStore):
    """A store that does everything at the second attempt, and records what it has done."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []
        self._refused: set[str] = set()

    async def create(self, channel_id: str, *, first: int = 1, lease: str = "") -> None:
        self._refuse_once(what := f"create {channel_id}")
        await super().create(channel_id, first=first)
        self.done.append(what)

    async def append(self, channel_id: str, events: Sequence[Encoded], *, expected: int) -> None:
        self._refuse_once(what := f"append {channel_id} {events[0].id} to {events[-1].id}")
        await super().append(channel_id, events, expected=expected)
        self.done.append(what)

    def _refuse_once(self, what: str) -> None:
        if what not in self._refused:
            self._refused.add(what)
            raise StorageError("Not yet.")


@pytest.mark.parametrize("store", [MemoryChannelStore, SuspendingChannelStore])
@asynchronous(30)
async def test_what_is_written_is_shown_once_it_is_stored(store: type[ChannelStore]) -> None:
    channel = Channels(store()).make(first=2)
    heard: list[tuple[int, bool]] = []
    channel.changed.add(lambda: heard.append((channel.last, channel.closed)))
    channel.open()
    write(channel, 4)
    assert (channel.written, channel.last, channel.newest) == (4, 1, None)
    assert channel.read_nowait(0, limit=10) == ()
    await channel.flush()
    assert (channel.last, heard) == (4, [(4, False)])
    assert channel.newest is not None and channel.newest.id == 4
    write(channel, 5)
    channel.end()
    assert not channel.closed
    await channel.flush()
    assert heard == [(4, False), (5, False), (5, True)]
    assert await numbers(channel) == [2, 3, 4, 5]


@asynchronous(30)
async def test_what_comes_at_once_is_one_batch() -> None:
    store = Batches()
    channel = Channels(store).make()
    channel.open()
    write(channel, 1000)
    await channel.flush()
    write(channel, 1001)
    await channel.flush()
    assert store.sizes == [1000, 1]


@pytest.mark.parametrize("number", [2, 3, 5, 0])
def test_a_number_that_is_not_the_next_one_is_refused(number: int) -> None:
    channel = Channels(MemoryChannelStore()).make()
    write(channel, 3)
    with pytest.raises(StreamError, match=f"Event {number} cannot follow event 3"):
        channel.append(event(number))
    assert [encoded.id for encoded in channel.unstored] == [1, 2, 3]


def test_nothing_is_written_after_the_end() -> None:
    channel = Channels(MemoryChannelStore()).make()
    write(channel, 2)
    channel.end()
    with pytest.raises(StreamError, match="closed"):
        channel.append(event(3))


@asynchronous(30)
async def test_a_store_that_is_full_fails_once_and_gives_the_memory_back() -> None:
    store, meter, failures = FailingChannelStore(), Meter(), []
    channel = Channels(store, meter=meter).make()
    channel.on_failure = lambda: failures.append(channel.failure)
    channel.open()
    write(channel, 3)
    await channel.flush()
    used = meter.used
    store.full = True
    write(channel, 5)
    for _ in range(2):
        with pytest.raises(StorageError, match="No space left"):
            await channel.flush()
    # Later events are dropped, and take no memory.
    write(channel, 7)
    channel.end()
    assert len(failures) == 1
    assert meter.used == channel.size == used
    assert await numbers(channel) == [1, 2, 3]
    assert (channel.last, channel.closed) == (3, False)


@asynchronous(30)
async def test_another_writer_is_a_conflict(caplog: pytest.LogCaptureFixture) -> None:
    store = SuspendingChannelStore()
    channel = Channels(store).make()
    write(channel, 2)
    await channel.flush()
    await store.append(channel.id, [Encoded.of(event(3))], expected=2)
    write(channel, 3)
    with caplog.at_level(logging.ERROR), pytest.raises(StorageError) as error:
        await channel.flush()
    assert isinstance(error.value.__cause__, ChannelConflictError)
    assert "The last event of the channel" in caplog.text


@asynchronous(30)
async def test_discarding_while_events_are_being_stored_gives_the_memory_back_once() -> None:
    meter = Meter()
    channels = Channels(SuspendingChannelStore(), meter=meter)
    channel = channels.make()
    channel.open()
    write(channel, 3)
    while channel.unstored:  # noqa: ASYNC110 - no event tells it
        await asyncio.sleep(0)
    assert channel.last == 0  # the store has them, and is not done
    channel.discard()
    await channels.close()
    assert (meter.used, channel.size) == (0, 0)


@asynchronous(30)
async def test_discarding_gives_the_memory_back() -> None:
    store, meter = SuspendingChannelStore(), Meter()
    channels = Channels(store, meter=meter)
    channel = channels.make()
    write(channel, 10)
    await channel.flush()
    # A batch is still being stored.
    write(channel, 20)
    channel.discard()
    assert meter.used == 0
    assert await channel.read(0, limit=10) == channel.read_nowait(0, limit=10) == ()
    async with asyncio.timeout(60):
        while store._store._channels:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
    await channels.close()


@asynchronous(30)
async def test_closing_cancels_what_is_being_stored() -> None:
    class Hanging(SuspendingChannelStore):
        """A store that does not answer."""

        async def append(
            self, channel_id: str, events: Sequence[Encoded], *, expected: int
        ) -> None:
            await asyncio.Event().wait()

    channels = Channels(Hanging())
    channel = channels.make()
    write(channel, 1)
    waiting = asyncio.create_task(channel.flush())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await channels.close()
    with pytest.raises(StorageError, match="stopped"):
        await waiting


@asynchronous(30)
async def test_who_waits_for_a_channel_that_is_discarded_hears_of_it() -> None:
    channels = Channels(SuspendingChannelStore())
    channel = channels.make()
    channel.open()
    write(channel, 3)
    waiting = asyncio.create_task(channel.flush())
    await asyncio.sleep(0)
    channel.discard()
    with pytest.raises(StorageError):
        await waiting
    await channels.close()


@asynchronous(30)
async def test_a_channel_begins_between_two_events_of_another() -> None:
    store = Reluctant()
    channels = Channels(store, patience=20.0)
    build, tail = channels.make("build", first=2), channels.make("tail", first=4)
    write(build, 2)
    await build.flush()
    write(build, 3)
    while build.requested is None or build.requested.id < 3:  # noqa: ASYNC110 - no event tells it
        await asyncio.sleep(0)
    tail.begin_after(build, 3)
    build.wait_for(tail)
    write(tail, 4)
    tail.open()
    write(build, 4)
    await tail.flush()
    await build.flush()
    begin = ["create build", "append build 2 to 2", "append build 3 to 3", "create tail"]
    assert store.done[:4] == begin
    assert sorted(store.done[4:]) == ["append build 4 to 4", "append tail 4 to 4"]
    await channels.close()


@asynchronous(30)
async def test_a_channel_fails_if_what_comes_before_cannot_be_stored() -> None:
    store = FailingChannelStore()
    channels = Channels(store)
    build, tail = channels.make(first=2), channels.make(first=3)
    build.open()
    tail.begin_after(build, 2)
    write(tail, 3)
    tail.open()
    store.full = True
    write(build, 2)
    with pytest.raises(StorageError, match="No space left"):
        await tail.flush()
    await channels.close()


@asynchronous(30)
async def test_what_another_replica_stores_under_its_numbers_is_not_shown_as_its_own() -> None:
    """A paused owner wakes up, and wants to go on with a channel that another replica has."""
    store = MemoryChannelStore()
    await store.create("a channel")
    await store.append("a channel", [Encoded.of(event(1))], expected=0)
    channel = Channels(store).make("a channel")
    channel.restore(ChannelState(first=1, last=1, closed=False), Encoded.of(event(1)))
    channel.open()
    await channel.flush()
    write(channel, 3)
    others = [Encoded.of(event(number)) for number in (2, 3)]
    await store.append("a channel", others, expected=1)
    assert channel.last == 1 and channel.newest is not None and channel.newest.id == 1
    with pytest.raises(StorageError):
        await channel.flush()
    assert channel.last == 1
