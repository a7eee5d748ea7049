"""The stream of a launch: its own events, its build's, and its own again.

Viewers see only what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..channels.base import Broadcast
from ..core.events import Encoded, Event
from ..core.phases import TERMINAL, Phase
from ..errors import LeaseLostError
from .build import FIRST, Build
from .channel import Channel
from .channel_factory import Channels
from .parts import Extent, Part
from .stored import head_of, launch_lease, tail_of

__all__ = ["LaunchStream"]


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
        """The number of the build's last event that belongs to it; 0: not known yet.

        It may not be stored yet. Viewers at other replicas may see all events that the store was
        asked for before it was asked for this launch's own channel.
        """
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
        if self._lost is not None:
            return self._lost.id
        build, head = self.build, self._head
        if build and head.closed and head.last == head.written and not (self._tail or self._cut):
            # As `_stored`, but quick: most of the time, a build prints.
            return max(build.channel.last + self._shift, head.last)
        return self._stored

    @property
    def closed(self) -> bool:
        """Whether the stream is complete."""
        if self.forgotten or self._lost is not None:
            return True
        if self._tail is not None:
            return self._tail.closed and self._stored == self._tail.last
        return bool(self.build and self.build.channel.closed and self.last.terminal)

    @property
    def is_elsewhere(self) -> bool:
        """Whether its events cannot be stored because another replica runs it."""
        own = [channel.failure for channel in (self._head, self._tail) if channel is not None]
        return any(isinstance(failure, LeaseLostError) for failure in own)

    @property
    def is_build_elsewhere(self) -> bool:
        """Whether events of its build cannot be stored because another replica runs the build."""
        build = self.build
        return build is not None and isinstance(build.channel.failure, LeaseLostError)

    @property
    def is_followed(self) -> bool:
        """Whether it shows what another replica does."""
        return self._head.is_followed

    @property
    def may_be_behind(self) -> bool:
        """Whether viewers may have seen more at another replica."""
        return self._channels.are_shared

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
        return bool(build and build.channel.failure is None and build.writer.phase in TERMINAL)

    @property
    def is_ready(self) -> bool:
        """Whether it is stored that it has ended with a server.

        Viewers see that once all events before it are known to be stored.
        """
        newest = self._tail.newest if self._tail is not None and self._lost is None else None
        return newest is not None and newest.event.phase is Phase.READY

    def read_nowait(self, after: int, *, limit: int = 1000) -> Sequence[Encoded] | None:
        """Return at most `limit` events after the number `after`; None if they must be awaited."""
        if (build := self.build) and self._tail is None and not (self._cut or self._shift):
            # Most reads are of what a build has just printed.
            channel, head = build.channel, self._head
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
        """Wait until its own events written so far are stored, and those of its build before.

        Raises
        ------
        StorageError
            If they cannot be stored.
        """
        await self._head.flush()
        if self.build is not None and self._cut and not self._is_cut_stored:
            await self.build.channel.flush()
        if self._tail is not None:
            await self._tail.flush()

    def forsake(self) -> None:
        """Store nothing more of its own: another replica runs it now."""
        for channel in (self._head, self._tail):
            if channel is not None:
                channel.forsake()

    def attach(self, build: Build) -> None:
        """Go on with the events of a build. The launch must be one of its users already."""
        self._head.end()
        self._shift = self._head.written + 1 - FIRST
        self.build = build
        build.readers += 1
        build.channel.changed.add(self._build_changed)
        self.changed.notify()

    @staticmethod
    async def last_of(build: Build | None, head: Channel, tail: Channel | None) -> Encoded | None:
        """Return the last event of a build before those of a tail; None if there is none.

        Raises
        ------
        StorageError
            If the build's events cannot be read.
        """
        if build is None or tail is None:
            return None
        last = tail.first - 1 - (head.written + 1 - FIRST)
        events = await build.channel.read(last - 1, limit=1) if last >= FIRST else ()
        return events[0] if events else None

    def restore_channels(
        self, head: Channel, tail: Channel | None, build: Build | None, cut: Encoded | None
    ) -> None:
        """Go on with channels that are stored. Viewers stay: they have nothing that is not stored.

        Parameters
        ----------
        head, tail : Channel
        build : Build or None
            Of which this launch is a user.
        cut : Encoded or None
            See `last_of`.
        """
        self._replace_channels()
        self._head = self._adopt(head)
        if tail is not None:
            self._tail = self._adopt(tail)
        self._first = head.newest
        if build is not None:
            self.attach(build)
            if tail is not None:
                build.users -= 1
                self._cut, self._cut_event = tail.first - 1 - self._shift, cut
                self._build_changed()
        self.changed.notify()

    def show(
        self,
        head: Extent,
        *,
        build: Build | None,
        of_build: Extent | None,
        tail: Extent | None,
        cut: Encoded | None,
    ) -> None:
        """Show what another replica has stored, all of it as of the same moment.

        Parameters
        ----------
        head, of_build, tail : Extent
            Of the channels; None if there is none yet.
        build : Build or None
        cut : Encoded or None
            The build's last event before those of `tail`, if there is one.
        """
        if not self.is_followed:
            self._replace_channels()
            self._head = self._adopt(self._channels.make(head_of(self.id)))
        self._head.follow(head.state, head.newest)
        # A head that is not closed may be followed by the tail.
        if build is not None and of_build is not None and head.state.closed:
            if self.build is None:
                self.build, self._shift = build, self._head.last + 1 - FIRST
                build.readers += 1
            build.channel.follow(of_build.state, of_build.newest)
        if tail is not None:
            if self._tail is None:
                self._tail = self._adopt(self._channels.make(tail_of(self.id)))
            self._tail.follow(tail.state, tail.newest)
            if self.build is not None:
                self._cut, self._cut_event = tail.state.first - 1 - self._shift, cut
            else:
                # The rest of the head may not be known yet.
                self._head.written = tail.state.first - 1
        elif self._tail is not None:
            # It was empty, and its next owner has deleted it.
            self._tail, self._cut, self._cut_event = None, 0, None
        self.changed.notify()

    def detach(self) -> None:
        """Take no more of the build's events from here on."""
        if self.build is not None and not self._cut:
            channel = self.build.channel
            self._cut_event = channel.requested
            self._cut = channel.last if self._cut_event is None else self._cut_event.id
            self.build.users -= 1
            if self._is_cut_stored:
                channel.changed.remove(self._build_changed)

    def _begin_tail(self) -> Channel:
        """Return the channel for its own events after the build's."""
        self.detach()
        first = max(self._cut + self._shift, self._head.written) + 1
        self._tail = self._adopt(
            self._channels.make(tail_of(self.id), first=first, lease=launch_lease(self.id))
        )
        if self.build is None:
            # Other replicas take a head that is closed for one that is followed by a build.
            self._head.close_after(self._tail)
        if self._is_open:
            # A successor must find all events before it.
            self._tail.begin_after(self._head, self._head.written)
            if self.build is not None:
                self._tail.begin_after(self.build.channel, self._cut)
                # Or other replicas might show events of the build that are not part of this.
                self.build.channel.wait_for(self._tail)
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
        self._leave_channels()
        self.changed.notify()

    def _replace_channels(self) -> None:
        self._leave_channels()
        self._tail = self.build = self._lost = self._cut_event = None
        self._cut = self._shift = 0

    def _leave_channels(self) -> None:
        self._head.discard()
        if self._tail is not None:
            self._tail.discard()
        if self.build is not None:
            self.build.channel.changed.remove(self._build_changed)
            self.build.readers -= 1
            if self.build.readers == 0:
                self.build.forget()

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
        self._tail = self.build = self._lost = self._cut_event = None
        self._cut = self._shift = 0

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
        head = self._head
        # Other replicas know from a closed head that events of the build follow.
        is_known = head.closed or self.build is None or not self._channels.are_shared
        return head.last == head.written and is_known

    @property
    def _is_cut_stored(self) -> bool:
        """Whether it has left its build, and all events before that are stored."""
        return bool(self._cut and self.build and self.build.channel.last >= self._cut)

    @property
    def _shown_tail(self) -> Channel | None:
        """The channel of its own events after the build's, if there are any to show."""
        tail = self._tail
        if tail is None or tail.newest is None or not (self.build is None or self._is_cut_stored):
            return None
        return tail

    @property
    def _last_of_build(self) -> int:
        """The number of the build's last event that is stored and belongs to it."""
        assert self.build is not None  # noqa: S101 - for the type checker
        last = self.build.channel.last
        return min(self._cut, last) if self._cut else last

    def _build_changed(self) -> None:
        build = self.build
        if build and self._cut and (self._is_cut_stored or build.channel.failure is not None):
            build.channel.changed.remove(self._build_changed)
            if not self._is_cut_stored:
                # Neither can what follows be shown.
                self._on_failure()
        self.changed.notify()

    @property
    def _stored(self) -> int:
        """The number of the newest event that is stored, and all before it."""
        last = self._head.last
        if not self._is_head_stored:
            return last
        if (tail := self._shown_tail) is not None:
            return tail.last
        return last if self.build is None else max(self._last_of_build + self._shift, last)

    @property
    def _newest(self) -> Encoded:
        if self._lost is not None:
            return self._lost
        if self._is_head_stored:
            tail = self._shown_tail
            if tail is not None and tail.newest is not None:
                return tail.newest
            if self.build is not None:
                event = self._cut_event if self._is_cut_stored else self.build.channel.newest
                if event is not None:
                    return event.moved(self._shift) if self._shift else event
        newest = self._head.newest or self._first
        assert newest is not None  # noqa: S101 - for the type checker: a launch has its first event
        return newest

    def _parts(self, after: int, limit: int) -> Iterator[Part]:
        """Say which channels have the next events, in their order."""
        limit = min(limit, self._stored - after)
        count = min(limit, self._head.last - after)
        if count > 0:
            yield Part(self._head, after, count)
            after, limit = after + count, limit - count
        if self.build is not None and limit > 0:
            last = self._last_of_build + self._shift
            count = min(limit, last - after)
            if count > 0:
                yield Part(self.build.channel, after - self._shift, count, self._shift)
                after, limit = after + count, limit - count
        if self._tail is not None and limit > 0:
            yield Part(self._tail, after, limit)

    def _with_lost(self, events: list[Encoded], after: int, limit: int) -> list[Encoded]:
        if self._lost is not None and after < self._lost.id and len(events) < limit:
            events.append(self._lost)
        return events
