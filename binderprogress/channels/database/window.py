"""The newest events of a channel, in memory."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...core.events import Encoded
from ..base import Listener
from ..durable import ChannelState

__all__ = ["News", "Window"]


class News(msgspec.Struct, frozen=True):
    """What happened in a channel.

    Attributes
    ----------
    state : ChannelState
    events : list of Encoded
        The newest, up to the last that `state` says.
    """

    state: ChannelState
    events: list[Encoded]


class Window:
    """What is known of a channel in this process: its newest events, and who watches it.

    Parameters
    ----------
    limit : int
        Bytes of events that are kept. The newest event is always kept.
    """

    __slots__ = (
        "_events",
        "_size",
        "beside",
        "closed",
        "extent",
        "first",
        "is_compared",
        "last",
        "limit",
        "listeners",
        "mine",
    )

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.first: int | None = None
        """The number of the channel's first event; None: nothing is known of the channel."""
        self.last = 0
        """The number of the last event that is known to be stored."""
        self.closed = False
        self.mine = False
        """Whether this process writes to the channel."""
        self.listeners: set[Listener] = set()
        self.extent: ChannelState | None = None
        """Its extent when it was compared with the database last; None if there was no channel."""
        self.is_compared = False
        """Whether it was compared with the database since somebody follows it."""
        self.beside: set[str] = set()
        """The channels that somebody follows together with it."""
        self._events: list[Encoded] = []
        self._size = 0

    def describe(self, first: int, last: int, *, closed: bool) -> bool:
        """Note the extent of the channel. Return whether that is news."""
        news = self.first is None or last > self.last or closed > self.closed
        if self.first is None or last > self.last:
            if last != self.last:
                self._forget()
            self.first, self.last = first, last
        self.closed |= closed
        return news

    def extend(self, events: Sequence[Encoded]) -> None:
        """Add what was stored. Events that are known already are ignored."""
        if events[0].id <= self.last:
            events = events[self.last + 1 - events[0].id :]
            if not events:
                return
        elif events[0].id > self.last + 1:
            self._forget()
        self._events.extend(events)
        self._size += sum([len(each.sse) for each in events])
        self.last = events[-1].id
        if self._size > self.limit:
            self._shrink()

    def read(self, after: int, limit: int) -> Sequence[Encoded] | None:
        """Return the events after a number, at most `limit`; None if they are not in memory."""
        if self.first is None:
            return None
        if after >= self.last or limit <= 0:
            return ()
        start = max(after + 1, self.first) - (self.last + 1 - len(self._events))
        return self._events[start : start + limit] if start >= 0 else None

    def notify(self, *listeners: Listener) -> None:
        """Call some listeners, by default all of them. Those that have stopped are left out."""
        for listener in listeners or tuple(self.listeners):
            if listener in self.listeners:
                listener(self.last, self.closed)

    def _forget(self) -> None:
        self._events.clear()
        self._size = 0

    def _shrink(self) -> None:
        # More than is needed, so that this is not done for each event.
        wanted = self._size - self.limit * 3 // 4
        count = freed = 0
        while freed < wanted and count < len(self._events) - 1:
            freed += len(self._events[count].sse)
            count += 1
        del self._events[:count]
        self._size -= freed
