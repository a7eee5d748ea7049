"""A channel as its writer uses it: events are written at once, stored in batches, and then shown.

Writing never waits. Once in each turn of the event loop, all channels store what was written since,
so that many lines of a log that come at once are one batch. A viewer reads only what is stored.

While the store is away, what is written waits in memory, and is stored in order when it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from ..channels.base import Broadcast
from ..channels.durable import WINDOW, ChannelState
from ..core.events import ENCODED_OVERHEAD, Encoded, Event
from ..errors import LeaseLostError, StorageError, StreamError
from .storing import Storing

__all__ = ["Channel"]


def _nothing() -> None:
    """Do nothing."""


class Channel:
    """One channel of a store, with a single writer.

    Parameters
    ----------
    work : Storing
        What all channels of a server share: the store, and what stores and discards.
    channel_id : str
    first : int
        The number of its first event.
    lease : str
        The launch or build that it belongs to.
    """

    def __init__(self, work: Storing, channel_id: str, *, first: int, lease: str) -> None:
        self.id = channel_id
        self.first = first
        self.written = first - 1
        """The number of the event written last."""
        self.last = first - 1
        """The number of the event stored last, which is what viewers have."""
        self.newest: Encoded | None = None
        """The event stored last."""
        self.unstored: list[Encoded] = []
        """Events that are written, but not being stored yet."""
        self.ended = False
        """Whether nothing more will be written."""
        self.closed = False
        """Whether nothing more will be stored."""
        self.failure: StorageError | None = None
        """Why events could not be stored. What is written after that is lost."""
        self.on_failure: Callable[[], None] = _nothing
        """Called once if events could not be stored."""
        self.size = 0
        """About how many bytes of memory its events take."""
        self.changed = Broadcast()
        """Notified when events are stored, when it is closed, and when storing fails."""
        self._store = work.store
        self._append_soon = work.append_soon
        self._window = WINDOW if work.durable is not None else None
        self._lease = lease
        self._meter = work.meter
        self._work = work
        self._log = work.log
        self._storing: Sequence[Encoded] = ()
        """The batch that is being stored."""
        self._task: asyncio.Task[None] | None = None
        """What waits for the store; None if nothing does."""
        self._is_open = False
        self._is_idle = False
        """Whether it is open, and nothing is being stored or will be in this turn."""
        self._gate: asyncio.Event | None = None
        """Set once it may be closed."""
        self._held: frozenset[Channel] = frozenset()
        """The channels that it waits for."""
        self._before: list[tuple[Channel, int]] = []
        """What has to be stored before it is created: channels, and the numbers of events."""
        self._is_postponed = False
        """Whether it would store something if it did not wait."""
        self._on_begin: Callable[[], None] = _nothing
        """Called once it was created, or cannot be."""
        self._is_created = False
        self._is_discarded = False
        self.is_followed = False
        """Whether it shows what another replica stores."""

    # -- writing

    def append(self, event: Event) -> Encoded:
        """Write the event with the next number. It is stored soon.

        Raises
        ------
        StreamError
            If the number is not the next one, or the channel has ended.
        """
        if self.ended:
            raise StreamError("The channel is closed.")
        if event.id != self.written + 1:
            raise StreamError(f"Event {event.id} cannot follow event {self.written}.")
        encoded = Encoded.of(event)
        self.written = event.id
        if self.failure is None:
            self.unstored.append(encoded)
            size = len(encoded.sse) + ENCODED_OVERHEAD
            self.size += size
            self._meter.used += size
            if self._is_idle:
                self._is_idle = False
                self._work.store_soon(self)
        return encoded

    def end(self) -> None:
        """End the channel. It is closed once everything is stored."""
        self.ended = True
        if self._is_idle:
            self._is_idle = False
            self._work.store_soon(self)

    def restore(self, state: ChannelState, newest: Encoded | None) -> None:
        """Go on with a channel that is in the store already.

        Parameters
        ----------
        state : ChannelState
        newest : Encoded or None
            Its last event, if it has one.
        """
        self.first = state.first
        self.written = self.last = state.last
        self.ended = self.closed = state.closed
        self.newest = newest
        self._is_created = True

    def follow(self, state: ChannelState, newest: Encoded | None) -> None:
        """Show what another replica has stored. Nothing can be written here.

        Parameters
        ----------
        state : ChannelState
        newest : Encoded or None
            Its last event, if it has one.
        """
        self.first = state.first
        self.written = self.last = state.last
        self.closed = state.closed
        self.newest = newest
        self.ended = self._is_created = self.is_followed = True

    def close_after(self, other: Channel) -> None:
        """End the channel. It is closed once another one was created, or cannot be."""
        self._gate = asyncio.Event()
        other._on_begin = self._gate.set
        if other._is_created or other.failure is not None:
            self._gate.set()
        self.end()

    def begin_after(self, other: Channel, last: int) -> None:
        """Create the channel once another one has stored its events up to the number `last`.

        If they cannot be stored, neither can what this channel would follow them with.
        """
        self._before.append((other, last))

    def wait_for(self, other: Channel) -> None:
        """Ask the store for nothing more before another channel was created, or cannot be."""
        self._held |= {other}

        def go_on() -> None:
            self._held -= {other}
            if self._is_postponed and not self._held:
                self._is_postponed = False
                self._work.store_soon(self)

        other._on_begin = go_on

    # -- storing

    @property
    def requested(self) -> Encoded | None:
        """The last event that the store has, or was asked to store."""
        return self._storing[-1] if self._storing and self.failure is None else self.newest

    def open(self) -> None:
        """Begin to store what is written."""
        if self._is_open or self.closed or self.is_followed:
            return
        self._is_open = True
        self._work.channels[self] = None
        if self._is_created:
            self._work.store_soon(self)
        else:
            self._start(self._create)

    async def flush(self) -> None:
        """Wait until everything written so far is stored, and the channel is closed if it ended.

        Raises
        ------
        StorageError
            If it could not be stored.
        """
        self.open()
        if self.is_followed:
            return
        written, ended = self.written, self.ended
        await self._stored(written, closed=ended)
        if (failure := self.failure) is not None:
            # Its own for each caller: whoever raises an error adds a traceback to it.
            raise type(failure)(*failure.args) from failure

    async def _stored(self, last: int, *, closed: bool = False) -> None:
        """Wait until the events up to the number `last` are stored, or storing fails."""
        changed = asyncio.Event()
        self.changed.add(changed.set)
        try:
            while self.failure is None and (self.last < last or (closed and not self.closed)):
                changed.clear()
                await changed.wait()
        finally:
            self.changed.remove(changed.set)

    def discard(self) -> None:
        """Give the memory back, and delete the channel from a store that keeps it in memory.

        A durable store deletes the channels of a lease with it.
        """
        self.ended = True
        self._give_back(self.size)
        self.unstored.clear()
        self.on_failure = _nothing
        self._is_created = self._is_idle = False
        self._is_discarded = True
        self._work.channels.pop(self, None)
        if self._task is not None or (self._is_open and not self._storing):
            self._work.start(self._discard(self._task), name=f"discard channel {self.id}")
        if not self.closed and self.failure is None:
            self.stop()
        else:
            self.changed.notify()

    def stop(self) -> None:
        """Store nothing any more: the server stops."""
        self._fail(StorageError("The server was stopped before all events were stored."))

    def forsake(self) -> None:
        """Store nothing any more: another replica writes to it now, or may at any time.

        What is asked of the store later might be done if this replica takes it back.
        """
        self.on_failure = _nothing
        if self.closed or self.failure is not None or self.is_followed:
            return
        task, self._task = self._task, None
        self._fail(LeaseLostError(f"Another replica writes to the channel {self.id} now."))
        if task is not None:
            task.cancel()

    def store(self) -> None:
        """Store what was written. `Storing` calls this."""
        if self._is_discarded or self.closed or self.failure is not None:
            return
        if self._held:
            self._is_postponed = True
        elif self.unstored:
            self._storing, self.unstored = self.unstored, []
            if self._append_soon is None:
                self._start(self._append)
                return
            expected = self._storing[0].id - 1
            try:
                self._append_soon(self.id, self._storing, expected=expected, done=self._on_appended)
            except Exception as error:  # noqa: BLE001 - whatever a store raises, its launch must end
                self._start(partial(self._append, error))
        elif self.ended:
            self._start(self._close)
        else:
            self._is_idle = True

    def _on_appended(self, error: Exception | None) -> None:
        """Show the batch that was stored, or try again."""
        if self._is_discarded:
            self._work.start(self._discard(None), name=f"discard channel {self.id}")
        elif self.failure is not None:
            return
        elif error is not None:
            self._start(partial(self._append, error))
        else:
            self._advance(self._storing[-1].id, False)
            self._storing = ()
            self.store()

    def _start(self, work: Callable[[], Awaitable[None]]) -> None:
        self._task = self._work.start(self._attempt(work), name=f"channel {self.id}")

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that waits for the store. If that fails, so does the channel."""
        try:
            await work()
        except asyncio.CancelledError:
            if self.failure is None:
                self.stop()
            raise
        except StorageError as error:
            self._log.error("Events cannot be stored: %s", error)
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, its launch must end
            self._log.exception("Events cannot be stored")
            self._fail(StorageError(f"{type(error).__name__}: {error}"))
        else:
            self._task = None
            self.store()

    async def _create(self) -> None:
        for other, last in self._before:
            await other._stored(last)
            if other.last < last:
                raise StorageError(str(other.failure)) from other.failure
        self._before.clear()
        store, first, lease = self._store, self.first, self._lease
        await self._work.attempt(lambda: store.create(self.id, first=first, lease=lease))
        self._is_created = True
        self._on_begin()

    async def _close(self) -> None:
        if self._gate is not None:
            await self._gate.wait()
        await self._work.attempt(lambda: self._store.close(self.id))
        self._advance(self.last, True)
        self._work.channels.pop(self, None)

    async def _append(self, error: Exception | None = None) -> None:
        """Store the batch. If there is an error, it is from the first attempt."""
        batch, tried = self._storing, False

        async def append() -> None:
            nonlocal tried
            if error is not None and not tried:
                tried = True
                raise error
            if tried and (durable := self._work.durable) is not None:
                # The connection may have been lost after the events were stored.
                state = await durable.describe(self.id)
                if state.last == batch[-1].id and await self._has_stored(batch[-1]):
                    return
            tried = True
            await self._store.append(self.id, batch, expected=batch[0].id - 1)

        await self._work.attempt(append)
        self._advance(batch[-1].id, False)
        self._storing = ()

    async def _has_stored(self, event: Encoded) -> bool:
        """Whether the store has this event, and not one of another replica."""
        found = await self._store.read(self.id, event.id - 1, limit=1)
        return bool(found) and found[0].sse == event.sse

    def _advance(self, last: int, closed: bool) -> None:
        """Show what is stored.

        Only this channel's own requests say that: if another replica has taken it over, what that
        stores under the same numbers is not what was written here.
        """
        if self.last < last <= self.written:
            self.last = last
            self.newest = self._storing[last - self._storing[0].id]
        elif not closed or self.closed:
            return
        self.closed = closed
        if self._window is not None:
            # The store has the rest in its database.
            self._give_back(self.size - (0 if closed else self._window))
        self.changed.notify()

    def _give_back(self, size: int) -> None:
        size = max(size, 0)
        self.size -= size
        self._meter.used -= size

    def _fail(self, error: StorageError) -> None:
        self.failure = error
        self._is_idle = False
        self._work.channels.pop(self, None)
        self._on_begin()
        lost = [*self._storing, *self.unstored]
        size = sum(len(each.sse) + ENCODED_OVERHEAD for each in lost if each.id > self.last)
        # `discard` has given all of it back already.
        self._give_back(min(size, self.size))
        self.unstored.clear()
        self.on_failure()
        self.changed.notify()

    async def _discard(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            # The store would see a writer that goes on otherwise.
            task.cancel()
            await asyncio.wait([task])
        if self._window is not None:
            return
        try:
            await self._store.discard(self.id)
        except Exception:  # noqa: BLE001 - whatever a store raises, it is the operator's to know
            self._log.exception("The channel %s cannot be removed from the store", self.id)

    # -- reading

    def read_nowait(self, after: int, *, limit: int) -> Sequence[Encoded] | None:
        """Return stored events after the number `after`; None if they have to be awaited."""
        if limit <= 0 or not self._is_created:
            return ()
        return self._store.read_nowait(self.id, after, limit=limit)

    async def read(self, after: int, *, limit: int) -> Sequence[Encoded]:
        """Return stored events after the number `after`.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        if limit <= 0 or not self._is_created:
            return ()
        return await self._store.read(self.id, after, limit=limit)
