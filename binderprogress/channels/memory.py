"""A channel store in the memory of this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..core.events import Encoded
from ..errors import ChannelConflictError, ChannelNotFoundError
from .base import Listener

__all__ = ["MemoryChannelStore"]


class _Channel:
    """A list of encoded events."""

    __slots__ = ("closed", "events", "first", "listeners")

    def __init__(self, first: int) -> None:
        self.first = first
        self.events: list[Encoded] = []
        self.closed = False
        self.listeners: set[Listener] = set()

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self.first + len(self.events) - 1

    def notify(self) -> None:
        """Call the listeners."""
        for listener in tuple(self.listeners):
            listener(self.last, self.closed)


class MemoryChannelStore:
    """Keeps channels until they are discarded; see `base.ChannelStore`.

    No method suspends. What is appended or closed is reported to watchers before that returns.
    Launches use `append_soon`, so a subclass that changes `append` has to change both.
    """

    def __init__(self) -> None:
        self._channels: dict[str, _Channel] = {}

    async def create(self, channel_id: str, *, first: int = 1, lease: str = "") -> None:
        """Create an empty channel; see `base.ChannelStore.create`."""
        if channel_id in self._channels:
            raise ChannelConflictError(f"The channel {channel_id} exists already.")
        self._channels[channel_id] = _Channel(first)

    async def append(self, channel_id: str, events: Sequence[Encoded], *, expected: int) -> None:
        """Append a batch of events; see `base.ChannelStore.append`."""
        self.append_soon(channel_id, events, expected=expected, done=lambda _: None)

    def append_soon(
        self,
        channel_id: str,
        events: Sequence[Encoded],
        *,
        expected: int,
        done: Callable[[Exception | None], None],
    ) -> None:
        """Append a batch of events at once; see `base.PromptStore.append_soon`."""
        channel = self._channel(channel_id)
        if channel.closed:
            raise ChannelConflictError(f"The channel {channel_id} is closed.")
        if channel.last != expected:
            raise ChannelConflictError(
                f"The last event of the channel {channel_id} is {channel.last}, not {expected}."
            )
        channel.events.extend(events)
        if channel.listeners:
            channel.notify()
        done(None)

    def read_nowait(self, channel_id: str, after: int, *, limit: int) -> Sequence[Encoded]:
        """Return events; see `base.ChannelStore.read_nowait`. Everything is in memory."""
        channel = self._channel(channel_id)
        start = max(after + 1 - channel.first, 0)
        return channel.events[start : start + max(limit, 0)]

    async def read(self, channel_id: str, after: int, *, limit: int) -> Sequence[Encoded]:
        """Return events; see `base.ChannelStore.read`."""
        return self.read_nowait(channel_id, after, limit=limit)

    def watch(self, channel_id: str, listener: Listener) -> Callable[[], None]:
        """Have a listener called after each change; see `base.ChannelStore.watch`."""
        listeners = self._channel(channel_id).listeners
        listeners.add(listener)
        return lambda: listeners.discard(listener)

    async def close(self, channel_id: str) -> None:
        """Close a channel; see `base.ChannelStore.close`."""
        channel = self._channel(channel_id)
        if not channel.closed:
            channel.closed = True
            channel.notify()

    async def discard(self, channel_id: str) -> None:
        """Delete a channel; see `base.ChannelStore.discard`."""
        self._channels.pop(channel_id, None)

    def _channel(self, channel_id: str) -> _Channel:
        channel = self._channels.get(channel_id)
        if channel is None:
            raise ChannelNotFoundError(f"There is no channel {channel_id}.")
        return channel
