"""What every channel store must do. A new one is added to `STORES` in `conftest.py`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from binderprogress.channels.base import ChannelStore, PromptStore
from binderprogress.core.events import Encoded, Event
from binderprogress.core.phases import Phase
from binderprogress.errors import ChannelConflictError, ChannelNotFoundError

from ..support.asynchronous import asynchronous

WITHIN = 20.0
"""Seconds in which a store must notify its watchers."""


def event(number: int, message: str = "") -> Encoded:
    return Encoded.of(
        Event(id=number, phase=Phase.WAITING, time=0.0, elapsed=0.0, progress=0.0, message=message)
    )


def events(first: int, last: int) -> list[Encoded]:
    return [event(number) for number in range(first, last + 1)]


async def filled(store: ChannelStore, count: int, *, first: int = 1) -> None:
    await store.create("channel", first=first)
    if count:
        await store.append("channel", events(first, first + count - 1), expected=first - 1)


async def numbers(store: ChannelStore, after: int = 0, limit: int = 100) -> list[int]:
    read = await store.read("channel", after, limit=limit)
    now = store.read_nowait("channel", after, limit=limit)
    if now is not None:
        assert [each.sse for each in now] == [each.sse for each in read]
    assert [each.event.id for each in read] == [each.id for each in read]
    return [each.id for each in read]


class Watcher:
    """What a store has reported of a channel."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, bool]] = []
        self._came = asyncio.Event()

    def __call__(self, last: int, closed: bool) -> None:
        self.reports.append((last, closed))
        self._came.set()

    async def has(self, last: int, closed: bool) -> None:
        """Await a report."""
        async with asyncio.timeout(WITHIN):
            while (last, closed) not in self.reports:
                self._came.clear()
                await self._came.wait()


async def appended_soon(store: PromptStore, first: int, last: int) -> None:
    """Append events with `append_soon`, and wait until it is done. Raise what it reports."""
    ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    # `set_result` raises if it is called twice.
    batch = events(first, last)
    store.append_soon("channel", batch, expected=first - 1, done=ended.set_result)
    async with asyncio.timeout(WITHIN):
        error = await ended
    if error is not None:
        raise error


# -- reading and appending


@asynchronous(30)
async def test_what_is_appended_soon_can_be_read_when_it_is_done(store: ChannelStore) -> None:
    if not isinstance(store, PromptStore):
        pytest.skip("it does not append without a task")
    await filled(store, 2)
    await appended_soon(store, 3, 5)
    assert await numbers(store) == [1, 2, 3, 4, 5]
    with pytest.raises(ChannelConflictError):
        await appended_soon(store, 5, 6)
    await store.close("channel")
    with pytest.raises(ChannelConflictError):
        await appended_soon(store, 6, 6)
    assert await numbers(store) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("first", [1, 2, 7])
@asynchronous(30)
async def test_a_new_channel_is_empty(store: ChannelStore, first: int) -> None:
    await store.create("channel", first=first)
    assert await numbers(store) == []
    await store.append("channel", [event(first)], expected=first - 1)
    assert await numbers(store) == [first]


@pytest.mark.parametrize(
    ("after", "limit", "expected"),
    [
        (0, 100, [3, 4, 5, 6]),  # from before its first
        (2, 100, [3, 4, 5, 6]),
        (3, 100, [4, 5, 6]),
        (5, 100, [6]),
        (6, 100, []),
        (99, 100, []),  # beyond the last
        (0, 2, [3, 4]),
        (4, 1, [5]),
        (0, 0, []),
        (0, -1, []),  # the rest of a limit that others have used up
    ],
)
@asynchronous(30)
async def test_reading_after_a_number(
    store: ChannelStore, after: int, limit: int, expected: list[int]
) -> None:
    await filled(store, 4, first=3)
    assert await numbers(store, after, limit) == expected


@asynchronous(30)
async def test_the_bytes_of_an_event_are_kept(store: ChannelStore) -> None:
    await store.create("channel")
    message = "für Ada: \x1b[31mred\x1b[0m, 日本, \u2028, \0, " + "long " * 10_000
    await store.append("channel", [event(1, message), event(2)], expected=0)
    first, second = await store.read("channel", 0, limit=2)
    assert first.sse == event(1, message).sse
    assert json.loads(first.json)["message"] == message
    assert second.sse == event(2).sse


@asynchronous(30)
async def test_batches_of_any_size_follow_each_other(store: ChannelStore) -> None:
    await store.create("channel")
    last = 0
    for size in (1, 1000, 3, 1):
        await store.append("channel", events(last + 1, last + size), expected=last)
        last += size
    assert await numbers(store, 0, 2000) == list(range(1, last + 1))


@asynchronous(30)
async def test_channels_are_independent(store: ChannelStore) -> None:
    await asyncio.gather(*(store.create(f"channel-{number}") for number in range(20)))
    await asyncio.gather(
        *(
            store.append(f"channel-{number}", events(1, number + 1), expected=0)
            for number in range(20)
        )
    )
    counts = [len(await store.read(f"channel-{n}", 0, limit=100)) for n in range(20)]
    assert counts == list(range(1, 21))


# -- conflicts


async def conflict(store: ChannelStore, work: Callable[[], Awaitable[None]], left: int) -> None:
    """Do what must be refused and change nothing."""
    with pytest.raises(ChannelConflictError):
        await work()
    assert await numbers(store) == list(range(1, left + 1))


@pytest.mark.parametrize("expected", [0, 1, 2, 4, 9])
@asynchronous(30)
async def test_a_writer_that_expects_another_last_event_is_refused(
    store: ChannelStore, expected: int
) -> None:
    await filled(store, 3)
    batch = events(expected + 1, expected + 2)
    await conflict(store, lambda: store.append("channel", batch, expected=expected), 3)
    # The right one goes on.
    await store.append("channel", [event(4)], expected=3)
    assert await numbers(store) == [1, 2, 3, 4]


@asynchronous(30)
async def test_a_channel_is_created_once(store: ChannelStore) -> None:
    await filled(store, 2)
    await conflict(store, lambda: store.create("channel"), 2)


@asynchronous(30)
async def test_a_closed_channel_takes_nothing_more_and_can_be_read(store: ChannelStore) -> None:
    await filled(store, 2)
    await store.close("channel")
    await store.close("channel")
    await conflict(store, lambda: store.append("channel", [event(3)], expected=2), 2)


# -- watching


@asynchronous(60)
async def test_watchers_hear_of_events_and_of_the_end(store: ChannelStore) -> None:
    await filled(store, 1)
    first, second = Watcher(), Watcher()
    store.watch("channel", first)
    store.watch("channel", second)
    await store.append("channel", events(2, 4), expected=1)
    await first.has(4, closed=False)
    await store.append("channel", [event(5)], expected=4)
    await store.close("channel")
    for watcher in (first, second):
        await watcher.has(5, closed=True)
        # Never backwards, and nothing of what was there before.
        assert watcher.reports == sorted(watcher.reports)
        assert watcher.reports[0][0] > 1


@asynchronous(60)
async def test_what_is_reported_can_be_read(store: ChannelStore) -> None:
    await filled(store, 0)
    watcher, last = Watcher(), 0
    store.watch("channel", watcher)
    for number in range(1, 6):
        await store.append("channel", [event(number)], expected=number - 1)
        await watcher.has(number, closed=False)
        assert (last := (await numbers(store))[-1]) >= number
    assert last == 5


@asynchronous(60)
async def test_one_that_stopped_watching_hears_nothing(store: ChannelStore) -> None:
    await filled(store, 1)
    gone, stays = Watcher(), Watcher()
    stop = store.watch("channel", gone)
    store.watch("channel", stays)
    stop()
    stop()
    await store.append("channel", [event(2)], expected=1)
    await store.close("channel")
    await stays.has(2, closed=True)
    assert gone.reports == []


@asynchronous(60)
async def test_a_watcher_may_stop_while_it_is_notified(store: ChannelStore) -> None:
    await filled(store, 0)
    once, always = Watcher(), Watcher()

    def listener(last: int, closed: bool) -> None:
        once(last, closed)
        stop()

    stop = store.watch("channel", listener)
    store.watch("channel", always)
    await store.append("channel", [event(1)], expected=0)
    await once.has(1, closed=False)
    await store.append("channel", [event(2)], expected=1)
    await always.has(2, closed=False)
    assert (2, False) not in once.reports


# -- discarding


@asynchronous(30)
async def test_a_discarded_channel_is_gone(store: ChannelStore) -> None:
    await filled(store, 3)
    await store.discard("channel")
    await store.discard("channel")
    for work in (
        lambda: store.read("channel", 0, limit=1),
        lambda: store.append("channel", [event(4)], expected=3),
        lambda: store.close("channel"),
    ):
        with pytest.raises(ChannelNotFoundError):
            await work()  # type: ignore[no-untyped-call]
    # Its name is free.
    await filled(store, 1)
    assert await numbers(store) == [1]


@asynchronous(30)
async def test_an_unknown_channel(store: ChannelStore) -> None:
    with pytest.raises(ChannelNotFoundError):
        await store.read("unknown", 0, limit=1)
    with pytest.raises(ChannelNotFoundError):
        await store.append("unknown", [event(1)], expected=0)
    with pytest.raises(ChannelNotFoundError):
        await store.close("unknown")
    await store.discard("unknown")
