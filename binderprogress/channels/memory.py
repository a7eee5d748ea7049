"""A channel in the memory of this process."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.events import ENCODED_OVERHEAD, Encoded, Event
from ..errors import StreamError
from .base import Broadcast, Meter

__all__ = ["MemoryChannel"]


class MemoryChannel:
    """A list of encoded events; see `base.Channel`.

    Parameters
    ----------
    first : int
        The number of its first event.
    meter : Meter, optional
        Counts the memory of several channels.
    """

    def __init__(self, *, first: int = 1, meter: Meter | None = None) -> None:
        self.changed = Broadcast()
        self.first = first
        self.last = first - 1
        self.size = 0
        self._meter = meter or Meter()
        self._events: list[Encoded] = []
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing will be appended any more."""
        return self._closed

    def append(self, event: Event) -> Encoded:
        """Add the event with the next number; see `base.Channel.append`."""
        if self._closed:
            raise StreamError("The channel is closed.")
        if event.id != self.last + 1:
            raise StreamError(f"Event {event.id} cannot follow event {self.last}.")
        encoded = Encoded.of(event)
        self._events.append(encoded)
        self.last = event.id
        size = len(encoded.sse) + ENCODED_OVERHEAD
        self.size += size
        self._meter.used += size
        self.changed.notify()
        return encoded

    def read(self, after: int, *, limit: int) -> Sequence[Encoded]:
        """Return what comes after the number `after`, at most `limit` events."""
        start = max(after + 1 - self.first, 0)
        return self._events[start : start + max(limit, 0)]

    def close(self) -> None:
        """Say that nothing will be appended any more."""
        if not self._closed:
            self._closed = True
            self.changed.notify()

    def discard(self) -> None:
        """Close it and give its memory back; see `base.Channel.discard`."""
        self._meter.used -= self.size
        self.size = 0
        self._events = []
        self.close()
