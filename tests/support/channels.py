"""Channel stores for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from binderprogress.channels.base import Listener
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.events import Encoded
from binderprogress.errors import StorageError

__all__ = ["FailingChannelStore", "SuspendingChannelStore"]


class SuspendingChannelStore:
    """A store that is never done at once, as one with a database is not.

    It keeps events where they can only be awaited, notifies watchers later than `append` returns,
    and refuses calls that overlap where they must not.
    """

    def __init__(self) -> None:
        self._store = MemoryChannelStore()
        self._writing: set[str] = set()

    async def create(self, channel_id: str, *, first: int = 1, lease: str = "") -> None:
        await asyncio.sleep(0)
        await self._store.create(channel_id, first=first)
        await asyncio.sleep(0)

    async def append(self, channel_id: str, events: Sequence[Encoded], *, expected: int) -> None:
        numbers = [encoded.id for encoded in events]
        assert numbers == list(range(expected + 1, expected + 1 + len(events))) != []
        await self._write(
            channel_id, lambda: self._store.append(channel_id, events, expected=expected)
        )

    async def close(self, channel_id: str) -> None:
        await self._write(channel_id, lambda: self._store.close(channel_id))

    async def _write(self, channel_id: str, write: Callable[[], object]) -> None:
        assert channel_id not in self._writing, "two writes overlap"
        self._writing.add(channel_id)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            await write()  # type: ignore[misc]
            await asyncio.sleep(0)
        finally:
            self._writing.discard(channel_id)

    def read_nowait(self, channel_id: str, after: int, *, limit: int) -> None:
        return None

    async def read(self, channel_id: str, after: int, *, limit: int) -> Sequence[Encoded]:
        for _ in range(3):
            await asyncio.sleep(0)
        return await self._store.read(channel_id, after, limit=limit)

    def watch(self, channel_id: str, listener: Listener) -> Callable[[], None]:
        loop = asyncio.get_running_loop()
        watching = True

        def notify(last: int, closed: bool) -> None:
            # Twice: a database may notify of each of several writes when it has all of them.
            for _ in range(2):
                loop.call_soon(later, last, closed)

        def later(last: int, closed: bool) -> None:
            if watching:
                listener(last, closed)

        stop = self._store.watch(channel_id, notify)

        def unwatch() -> None:
            nonlocal watching
            watching = False
            stop()

        return unwatch

    async def discard(self, channel_id: str) -> None:
        await asyncio.sleep(0)
        assert channel_id not in self._writing, "it is still written to"
        await self._store.discard(channel_id)


class FailingChannelStore(SuspendingChannelStore):
    """A store whose disk is full from a moment on."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False

    async def create(self, channel_id: str, *, first: int = 1, lease: str = "") -> None:
        self._check()
        await super().create(channel_id, first=first)

    async def append(self, channel_id: str, events: Sequence[Encoded], *, expected: int) -> None:
        self._check()
        await super().append(channel_id, events, expected=expected)

    def _check(self) -> None:
        if self.full:
            raise StorageError("No space left on device.")
