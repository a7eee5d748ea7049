"""The stream of a launch: its own events, its build's, and its own again.

Viewers see only what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from ..channels.base import Broadcast
from ..core.events import Encoded, Event
from ..core.phases import TERMINAL
from ..errors import LeaseLostError
from .build import FIRST, Build
from .channel import Channel, Channels
from .stored import head_of, launch_lease, tail_of

__all__ = ["LaunchStream", "messages_of"]

_DECODED = 64
"""Number of events that are decoded at a time for the log."""


class LaunchStream:
    """Up to three channels, read as one: the head, the build's, and the tail.

    Parameters
    ----------
    launch_id : str
    channels : Channels
        Where events are stored.
    on_failure : callable
        Called if the launch's own events cannot be stored.
    """

    def __init__(self, launch_id: str, channels: Channels, on_failure: Callable[[], None]) -> None:
        self.id = launch_id
        self.changed = Broadcast()
        """Notified when there is something to read."""
        self.forgotten = False
        """Whether its events are gone; it must not be read any more."""
        self.build: Build | None = None
        self._channels = channels
        self._on_failure = on_failure
        self._head = self._adopt(channels.make(head_of(launch_id), lease=launch_lease(launch_id)))
        self._tail: Channel | None = None
        self._is_open = False
        self._cut = 0
        """The number of the build's last event that belongs to it; 0: not known yet."""
        self._cut_event: Encoded | None = None
        self._shift = 0
        """By how much the numbers of its build's events are higher here: none, as a rule."""
        self._lost: Encoded | None = None
        """The end of a launch whose events cannot be stored: neither can its end."""
        self._first: Encoded | None = None
        """The first event, which is the newest one before any is stored."""
        self._end: Event | None = None
        """The last event of a launch that is forgotten, for logs."""

    # -- reading

    @property
    def last(self) -> Event:
        """The newest event. Before `open` returns, it is not stored yet."""
        return self._end or self._newest.event

    @property
    def end(self) -> int:
        """The number of the newest event."""
        return self._stored if self._lost is None else self._lost.id

    @property
    def closed(self) -> bool:
        """Whether the stream is complete."""
        if self.forgotten or self._lost is not None:
            return True
        if self._tail is not None:
            return self._tail.closed
        return self.build is not None and self.build.channel.closed and self.last.terminal

    @property
    def is_elsewhere(self) -> bool:
        """Whether its events cannot be stored because another replica runs it."""
        channels = [self._head, self._tail]
        return any(
            channel is not None and isinstance(channel.failure, LeaseLostError)
            for channel in channels
        )

    @property
    def ends_with_build(self) -> bool:
        """Whether its next event is one of its build."""
        return self.build is not None and self._tail is None and not self._cut

    @property
    def ended(self) -> bool:
        """Whether its end is written; it may not be stored yet."""
        if self._lost is not None:
            return True
        if self._tail is not None:
            return self._tail.ended
        if self._cut_event is not None:
            # It has let the build go, perhaps because the build failed.
            return self._cut_event.event.terminal
        build = self.build
        if build is None or build.channel.failure is not None:
            return False
        return build.writer.phase in TERMINAL

    def read_nowait(self, after: int, *, limit: int = 1000) -> Sequence[Encoded] | None:
        """Return at most `limit` events after the number `after`; None if they must be awaited."""
        if self.build is not None and self.ends_with_build and not self._shift:
            # Most reads are of what a build has just printed.
            channel, head = self.build.channel, self._head
            if self._lost is None and after >= head.last == head.written:
                if after == channel.last - 1 and channel.newest is not None:
                    return (channel.newest,)
                return channel.read_nowait(after, limit=min(limit, channel.last - after))
        events: list[Encoded] = []
        for part in self._parts(after, limit):
            read = part.channel.read_nowait(part.after, limit=part.limit)
            if read is None:
                return None
            events += part.moved(read)
        return self._with_lost(events, after, limit)

    async def read(self, after: int, *, limit: int = 1000) -> Sequence[Encoded]:
        """Return at most `limit` events after the number `after`.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        events: list[Encoded] = []
        for part in self._parts(after, limit):
            events += part.moved(await part.channel.read(part.after, limit=part.limit))
        return self._with_lost(events, after, limit)

    # -- writing

    async def open(self) -> None:
        """Begin to store its events, and wait until the first one is stored.

        Raises
        ------
        StorageError
            If it cannot be stored.
        """
        self._is_open = True
        await self._head.flush()

    def resume(self) -> None:
        """Begin to store what is written from now on; its events so far are in the store."""
        self._is_open = True
        self._head.open()
        if self._tail is not None:
            self._tail.open()

    async def flush(self) -> None:
        """Wait until its own events written so far are stored.

        Raises
        ------
        StorageError
            If they cannot be stored.
        """
        await self._head.flush()
        if self._tail is not None:
            await self._tail.flush()

    def attach(self, build: Build) -> None:
        """Go on with the events of a build. The launch must be one of its users already."""
        self._head.end()
        self._shift = self._head.written + 1 - FIRST
        self.build = build
        build.readers += 1
        build.channel.changed.add(self.changed.notify)
        self.changed.notify()

    def restore_channels(self, head: Channel, tail: Channel | None) -> None:
        """Go on with channels that are stored, before a build is attached."""
        self._head.discard()
        self._head = self._adopt(head)
        self._tail = None if tail is None else self._adopt(tail)
        self._first = head.newest

    async def restore_cut(self) -> None:
        """Find the last event of the build that belongs to it: its own events follow that one.

        Raises
        ------
        StorageError
            If the build's events cannot be read.
        """
        if self.build is None or self._tail is None:
            return
        self.detach()
        self._cut = self._tail.first - 1 - self._shift
        if self._cut < FIRST:
            self._cut_event = None
            return
        (self._cut_event,) = await self.build.channel.read(self._cut - 1, limit=1)

    def detach(self) -> None:
        """Take no more of the build's events from here on."""
        if self.build is not None and not self._cut:
            channel = self.build.channel
            self._cut, self._cut_event = channel.last, channel.newest
            self.build.users -= 1
            channel.changed.remove(self.changed.notify)

    def _begin_tail(self) -> Channel:
        """Return the channel for its own events after the build's."""
        self.detach()
        self._head.end()
        first = max(self._cut + self._shift, self._head.written) + 1
        self._tail = self._adopt(
            self._channels.make(tail_of(self.id), first=first, lease=launch_lease(self.id))
        )
        if self._is_open:
            self._tail.open()
        return self._tail

    def _close_unstored(self, event: Event) -> None:
        """End the stream with an event that is in memory only."""
        self._lost = Encoded.of(event)
        for channel in (self._head, self._tail):
            if channel is not None:
                channel.end()
        self.changed.notify()

    def _discard(self) -> None:
        """Give its memory back, and its build's with the last launch that reads it."""
        self._end = self.last
        self.forgotten = True
        self._head.discard()
        if self._tail is not None:
            self._tail.discard()
        if self.build is not None:
            self.build.readers -= 1
            if self.build.readers == 0:
                self.build.forget()
        self.changed.notify()

    def _let_go(self, build: Build | None) -> None:
        """Undo `restore_channels` and `attach`; `build` may be attached already, or not yet."""
        if self.build is not None:
            LaunchStream.detach(self)
            self.build.readers -= 1
        elif build is not None:
            build.users -= 1
        self._head.discard()
        if self._tail is not None:
            self._tail.discard()

    @property
    def _own_size(self) -> int:
        """About how many bytes of memory its own events take."""
        return self._head.size + (self._tail.size if self._tail is not None else 0)

    def _adopt(self, channel: Channel) -> Channel:
        channel.on_failure = self._on_failure
        channel.changed.add(self.changed.notify)
        return channel

    # -- parts

    @property
    def _is_head_stored(self) -> bool:
        return self._head.last == self._head.written

    @property
    def _stored(self) -> int:
        """The number of the newest event that is stored, and all before it."""
        head, tail, build = self._head, self._tail, self.build
        if head.last != head.written:
            return head.last
        if tail is not None and tail.newest is not None:
            return tail.last
        if build is not None:
            return max((self._cut or build.channel.last) + self._shift, head.last)
        return head.last

    @property
    def _newest(self) -> Encoded:
        if self._lost is not None:
            return self._lost
        if self._is_head_stored:
            if self._tail is not None and self._tail.newest is not None:
                return self._tail.newest
            if self.build is not None:
                event = self._cut_event if self._cut else self.build.channel.newest
                if event is not None:
                    return event.moved(self._shift) if self._shift else event
        newest = self._head.newest or self._first
        assert newest is not None  # noqa: S101 - for the type checker: a launch has its first event
        return newest

    def _parts(self, after: int, limit: int) -> Iterator[_Part]:
        """Say which channels have the next events, in their order."""
        limit = min(limit, self._stored - after)
        count = min(limit, self._head.last - after)
        if count > 0:
            yield _Part(self._head, after, count)
            after, limit = after + count, limit - count
        if self.build is not None and limit > 0:
            last = (self._cut or self.build.channel.last) + self._shift
            count = min(limit, last - after)
            if count > 0:
                yield _Part(self.build.channel, after - self._shift, count, self._shift)
                after, limit = after + count, limit - count
        if self._tail is not None and limit > 0:
            yield _Part(self._tail, after, limit)

    def _with_lost(self, events: list[Encoded], after: int, limit: int) -> list[Encoded]:
        if self._lost is not None and after < self._lost.id and len(events) < limit:
            events.append(self._lost)
        return events


class _Part(msgspec.Struct, frozen=True):
    """Some events of one channel.

    Attributes
    ----------
    channel : Channel
    after : int
        In the channel's numbers.
    limit : int
    shift : int
        By how much their numbers are higher in the launch.
    """

    channel: Channel
    after: int
    limit: int
    shift: int = 0

    def moved(self, events: Sequence[Encoded]) -> Sequence[Encoded]:
        """Return events with the launch's numbers."""
        return [event.moved(self.shift) for event in events] if self.shift else events


def messages_of(events: Sequence[Encoded]) -> Iterator[bytes]:
    """Return the messages of events, in chunks of UTF-8."""
    for start in range(0, len(events), _DECODED):
        chunk = events[start : start + _DECODED]
        if text := "".join([encoded.event.message for encoded in chunk]):
            yield text.encode()
