"""Channels: numbered, append-only, and over when they are over."""

from __future__ import annotations

import json

import pytest

from binderprogress.channels.base import Broadcast
from binderprogress.channels.memory import MemoryChannel
from binderprogress.core.events import Event
from binderprogress.core.phases import Phase
from binderprogress.errors import StreamError


def event(number: int) -> Event:
    return Event(id=number, phase=Phase.WAITING, time=0.0, elapsed=0.0, progress=0.0)


def filled(count: int, *, first: int = 1) -> MemoryChannel:
    channel = MemoryChannel(first=first)
    for number in range(first, first + count):
        channel.append(event(number))
    return channel


def numbers(channel: MemoryChannel, after: int, limit: int = 100) -> list[int]:
    return [encoded.event.id for encoded in channel.read(after, limit=limit)]


@pytest.mark.parametrize("first", [1, 2, 7])
def test_an_empty_channel(first: int) -> None:
    channel = MemoryChannel(first=first)
    assert (channel.first, channel.last, channel.closed) == (first, first - 1, False)
    assert numbers(channel, 0) == []


@pytest.mark.parametrize(
    ("after", "limit", "expected"),
    [
        (0, 100, [3, 4, 5, 6]),  # from before its first
        (2, 100, [3, 4, 5, 6]),
        (3, 100, [4, 5, 6]),
        (5, 100, [6]),
        (6, 100, []),
        (99, 100, []),  # from the future
        (0, 2, [3, 4]),
        (4, 1, [5]),
        (0, 0, []),
        (0, -1, []),  # what is left of a limit that others have used up
    ],
)
def test_reading_from_a_number_on(after: int, limit: int, expected: list[int]) -> None:
    assert numbers(filled(4, first=3), after, limit) == expected


def test_an_event_is_encoded_once_and_all_readers_get_the_same_bytes() -> None:
    channel = MemoryChannel()
    appended = channel.append(event(1))
    assert channel.read(0, limit=1)[0] is appended
    assert channel.read(0, limit=1)[0].sse is appended.sse
    assert json.loads(appended.json)["id"] == 1
    assert appended.sse == b"id: 1\ndata: " + appended.json + b"\n\n"


@pytest.mark.parametrize("number", [2, 3, 5, 0])
def test_a_number_that_is_not_the_next_one_is_refused(number: int) -> None:
    channel = filled(3)
    with pytest.raises(StreamError, match=f"Event {number} cannot follow event 3"):
        channel.append(event(number))
    assert numbers(channel, 0) == [1, 2, 3]


def test_a_closed_channel_takes_nothing_more_and_is_still_read() -> None:
    channel = filled(2)
    channel.close()
    with pytest.raises(StreamError, match="closed"):
        channel.append(event(3))
    assert channel.closed
    assert numbers(channel, 0) == [1, 2]


def test_listeners_hear_of_every_event_and_once_of_the_end() -> None:
    channel = MemoryChannel()
    heard: list[tuple[int, bool]] = []
    channel.changed.add(lambda: heard.append((channel.last, channel.closed)))
    channel.append(event(1))
    channel.append(event(2))
    channel.close()
    channel.close()
    # What is new is there already when it is told.
    assert heard == [(1, False), (2, False), (2, True)]


def test_a_listener_that_was_removed_hears_nothing() -> None:
    broadcast = Broadcast()
    heard: list[str] = []

    def listener() -> None:
        heard.append("x")

    broadcast.add(listener)
    broadcast.add(listener)
    assert len(broadcast) == 1
    broadcast.notify()
    broadcast.remove(listener)
    broadcast.remove(listener)
    broadcast.notify()
    assert (heard, len(broadcast)) == (["x"], 0)


def test_listeners_may_come_and_go_while_they_are_told() -> None:
    broadcast = Broadcast()
    heard: list[str] = []

    def once() -> None:
        heard.append("once")
        broadcast.remove(once)
        broadcast.add(lambda: heard.append("later"))

    broadcast.add(once)
    broadcast.notify()
    assert heard == ["once"]
    broadcast.notify()
    assert heard == ["once", "later"]
