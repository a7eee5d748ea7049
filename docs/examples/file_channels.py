"""A channel store that keeps each channel in a file."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from binderprogress import ChannelConflictError, ChannelNotFoundError, Encoded, StorageError


class FileChannel:
    """A file of encoded events, and where each of them ends."""

    def __init__(self, path: Path, first: int) -> None:
        self.path = path
        self.first = first
        self.ends = [0]
        self.closed = False
        self.listeners: set[Callable[[int, bool], None]] = set()

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self.first + len(self.ends) - 2

    def append(self, data: bytes) -> None:
        with self.path.open("r+b") as file:
            # Remove what a failed write left behind.
            file.truncate(self.ends[-1])
            file.seek(self.ends[-1])
            file.write(data)

    def read(self, start: int, end: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def notify(self) -> None:
        for listener in tuple(self.listeners):
            listener(self.last, self.closed)


class FileChannelStore:
    """Keeps the events of one server process on the disk instead of in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.channels: dict[str, FileChannel] = {}

    async def create(self, channel_id: str, *, first: int = 1, lease: str = "") -> None:
        if channel_id in self.channels:
            raise ChannelConflictError(f"The channel {channel_id} exists already.")
        channel = self.channels[channel_id] = FileChannel(self.folder / channel_id, first)
        try:
            await asyncio.to_thread(channel.path.touch)
        except OSError as error:
            del self.channels[channel_id]
            raise StorageError(f"A channel cannot be created: {error.strerror}.") from error

    async def append(self, channel_id: str, events: Sequence[Encoded], *, expected: int) -> None:
        channel = self._channel(channel_id)
        if channel.closed or channel.last != expected:
            raise ChannelConflictError(f"The channel {channel_id} is at {channel.last}.")
        data = b"".join(event.sse for event in events)
        try:
            await asyncio.to_thread(channel.append, data)
        except OSError as error:
            raise StorageError(f"Events cannot be stored: {error.strerror}.") from error
        # Only now are they in the channel.
        for event in events:
            channel.ends.append(channel.ends[-1] + len(event.sse))
        channel.notify()

    def read_nowait(self, channel_id: str, after: int, *, limit: int) -> None:
        """Nothing is in memory, so the server has to await `read`."""
        self._channel(channel_id)

    async def read(self, channel_id: str, after: int, *, limit: int) -> Sequence[Encoded]:
        channel = self._channel(channel_id)
        start = max(after + 1 - channel.first, 0)
        ends = channel.ends[start : start + max(limit, 0) + 1]
        if len(ends) < 2:
            return []
        try:
            data = await asyncio.to_thread(channel.read, ends[0], ends[-1])
        except OSError as error:
            raise StorageError(f"Events cannot be read: {error.strerror}.") from error
        return [
            Encoded(channel.first + start + number, data[begin - ends[0] : end - ends[0]])
            for number, (begin, end) in enumerate(pairwise(ends))
        ]

    def watch(self, channel_id: str, listener: Callable[[int, bool], None]) -> Callable[[], None]:
        listeners = self._channel(channel_id).listeners
        listeners.add(listener)
        return lambda: listeners.discard(listener)

    async def close(self, channel_id: str) -> None:
        channel = self._channel(channel_id)
        if not channel.closed:
            channel.closed = True
            channel.notify()

    async def discard(self, channel_id: str) -> None:
        channel = self.channels.pop(channel_id, None)
        if channel is not None:
            await asyncio.to_thread(channel.path.unlink, missing_ok=True)

    def _channel(self, channel_id: str) -> FileChannel:
        if channel_id not in self.channels:
            raise ChannelNotFoundError(f"There is no channel {channel_id}.")
        return self.channels[channel_id]
