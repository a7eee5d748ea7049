"""What a channel is; `memory` is one on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..core.events import Encoded, Event

__all__ = ["Broadcast", "Channel", "Meter"]


class Broadcast:
    """Tells any number of listeners that something is new. It does not say what: they look."""

    def __init__(self) -> None:
        self._listeners: set[Callable[[], None]] = set()

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, listener: Callable[[], None]) -> None:
        """Have `listener` called from now on; adding it again changes nothing."""
        self._listeners.add(listener)

    def remove(self, listener: Callable[[], None]) -> None:
        """Leave `listener` alone from now on."""
        self._listeners.discard(listener)

    def notify(self) -> None:
        """Call every listener; they must be quick and must not raise."""
        for listener in tuple(self._listeners):
            listener()


class Meter:
    """Counts the bytes that are in use, and says when they are too many.

    Parameters
    ----------
    limit : int
        Bytes.
    """

    __slots__ = ("alarm", "limit", "used")

    def __init__(self, limit: int = 2**62) -> None:
        self.limit = limit
        self.used = 0
        self.alarm = limit
        """Whoever adds to `used` and goes above this has to make room; `Budget` sets it."""


class Channel(Protocol):
    """An append-only, numbered log of events.

    An event is encoded once, when it is appended. Viewers are positions in what is there.
    """

    size: int
    """About how many bytes of memory it takes."""

    changed: Broadcast
    """Notified after every `append` and by `close`."""

    @property
    def first(self) -> int:
        """The number of its first event."""
        ...

    @property
    def last(self) -> int:
        """The number of the event appended last; ``first - 1`` when it is empty."""
        ...

    @property
    def closed(self) -> bool:
        """Whether nothing will be appended any more."""
        ...

    def append(self, event: Event) -> Encoded:
        """Add the event with the next number.

        Raises
        ------
        StreamError
            If the number is not the next one, or the channel is closed.
        """
        ...

    def read(self, after: int, *, limit: int) -> Sequence[Encoded]:
        """Return what comes after the number `after`, at most `limit` events."""
        ...

    def close(self) -> None:
        """Say that nothing will be appended any more."""
        ...

    def discard(self) -> None:
        """Close it and give its memory back; it has no events any more."""
        ...
