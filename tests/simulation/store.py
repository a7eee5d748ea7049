"""A durable store that is slow, fails, and is away, as a database behind a network is.

It keeps what `support.durable.Memory` keeps. What is asked of it is done in order, some time later,
and answered later still: between these, the answer may get lost, and the process may end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import Context
from random import Random
from typing import Any

from binderprogress.channels.base import Broadcast, Listener
from binderprogress.channels.durable import ChannelState, Lease
from binderprogress.core.events import Encoded
from binderprogress.errors import (
    ChannelNotFoundError,
    LeaseLostError,
    LeaseTakenError,
    StorageError,
)

from ..support.durable import OWNERS, DurableMemoryStore, Memory
from .build_queue import QUEUE, SimulatedTickets
from .loop import VirtualLoop
from .processes import Process

__all__ = ["Database", "SimulatedStore"]

LASTS = 15.0
"""Seconds for which a replica that says nothing counts as alive."""

_AWAY = "The database does not answer."


class Database(Memory):
    """What all replicas share, and how well it works.

    Parameters
    ----------
    loop : VirtualLoop
    random : Random
    shared : bool
        Whether several processes use it: PostgreSQL. Otherwise, who opens it knows that all
        before it are gone, as with SQLite.
    """

    def __init__(self, loop: VirtualLoop, random: Random, *, shared: bool) -> None:
        super().__init__()
        self.loop = loop
        self.random = random
        self.shared = shared
        self.latency = random.choice([0.0005, 0.005, 0.05])
        """Seconds, on average."""
        self.away = False
        """Whether nothing can be read or written."""
        self.full = False
        """Whether nothing can be written."""
        self.losing = 0.0
        """Chance that a commit fails; half of them are done, and only the answer is lost."""
        self.stores: list[SimulatedStore] = []

    def wait(self) -> float:
        """Return how long a part of a request takes."""
        return self.latency * (0.2 + 1.6 * self.random.random())


class _Request:
    """A change that is requested."""

    __slots__ = ("done", "future", "kind", "subject", "work")

    def __init__(
        self,
        kind: str,
        subject: str,
        work: Callable[[], Coroutine[Any, Any, Any]],
        done: Callable[[Any], None],
        future: asyncio.Future[Any],
    ) -> None:
        self.kind, self.subject, self.work = kind, subject, work
        self.done, self.future = done, future


_Follower = Callable[[], None]
_Outcome = tuple[_Request, Any, BaseException | None]


class SimulatedStore(DurableMemoryStore):
    """One replica's connection to the database; see `channels.durable.DurableStore`."""

    memory: Database

    def __init__(self, database: Database, process: Process) -> None:
        super().__init__(database, process.name)
        self.queue = SimulatedTickets(self)
        self._loop = database.loop
        self._process = process
        self._queue: deque[_Request] = deque()
        self._answers: deque[list[_Outcome]] = deque()
        self._is_committing = False
        self._doubts: dict[tuple[str, str], Any] = {}
        self._windows: dict[str, tuple[int, bool]] = {}
        """Of channels that this replica writes: the last event, and whether it is closed."""
        self._listeners: dict[str, dict[Listener, None]] = {}
        self._lease_listeners: dict[str, Broadcast] = {}
        self._followed: dict[str, dict[_Follower, None]] = {}
        """Who follows each channel that others write."""
        self._known: dict[str, ChannelState | None] = {}
        """Followed channels, as they were when this replica looked last; None: not there yet."""
        self._is_open = False
        self.took: Callable[[], None] = lambda: None
        """Called when it has taken a lease."""
        database.stores.append(self)
        process.at_death.append(self._end)

    @property
    def is_shared(self) -> bool:
        return self.memory.shared

    async def _suspend(self) -> None:
        """Do not suspend: whatever the base class does here is done by the database at once."""

    # -- being a replica

    async def open(self) -> None:
        await self._read(self._open)

    async def _open(self) -> None:
        if not self.memory.shared:
            self.memory.alive.clear()
        self.memory.alive.add(self.replica)
        self._is_open = True

    async def shutdown(self) -> None:
        try:
            await self._write("leave", OWNERS, super().shutdown)
        except StorageError:
            self.memory.loop.call_later(LASTS, self.memory.alive.discard, self.replica)
        self._is_open = False

    def _end(self) -> None:
        """The process was killed. What is under way may still be done."""
        self._is_open = False
        if self.memory.random.random() < 0.3 and not self.memory.away:
            self._commit_some(self.memory.random.randint(0, len(self._queue)))
        self._queue.clear()
        self._answers.clear()
        self._listeners.clear()
        self._lease_listeners.clear()
        self._followed.clear()
        if self.memory.shared:
            self.lapse()

    def lapse(self) -> None:
        """Say nothing any more. Others will notice."""
        after = LASTS * (1 - self.memory.random.random() / 3)
        self._loop.call_later(after, self._lapse)

    def _lapse(self) -> None:
        if not self._process.answers:
            self.leave()

    def leave(self) -> None:
        """Count as gone, although the process may run."""
        self.memory.alive.discard(self.replica)

    def wake(self) -> None:
        """Say again that it is alive, and see what has changed."""
        if self._is_open and not self._process.is_dead:
            self.memory.alive.add(self.replica)
            for channel_id in list(self._listeners):
                self._process.soon(self._hear, channel_id)
            for name in list(self._lease_listeners):
                self._process.soon(self._hear_lease, name)
            for channel_id in list(self._followed):
                self._process.soon(self._look, [channel_id])

    # -- writing

    def _write(
        self,
        kind: str,
        subject: str,
        work: Callable[[], Coroutine[Any, Any, Any]],
        done: Callable[[Any], None] = lambda _: None,
    ) -> asyncio.Future[Any]:
        """Request a change. `done` is called in the process, before it has the answer."""
        future = self._loop.create_future()
        self._queue.append(_Request(kind, subject, work, done, future))
        self._commit_soon()
        return future

    def _commit_soon(self) -> None:
        if not self._is_committing and self._queue:
            self._is_committing = True
            self._loop.call_later(self.memory.wait(), self._commit)

    def _commit(self) -> None:
        """Do what was requested so far, as one transaction."""
        self._is_committing = False
        memory = self.memory
        if memory.away or memory.full or memory.random.random() < memory.losing / 2:
            self._refuse()
        elif memory.random.random() < memory.losing / 2:
            # It is done, and the answer gets lost.
            doubtful = [*self._queue]
            self._commit_some(len(doubtful))
            for request in doubtful:
                self._doubts[request.kind, request.subject] = request
            self._queue.extendleft(reversed(doubtful))
            self._refuse()
        else:
            outcomes = self._commit_some(len(self._queue))
            self._answer(outcomes)
        self._commit_soon()

    def _refuse(self) -> None:
        """Fail all that was requested: no change is made without those before it."""
        self._answer([(request, None, StorageError(_AWAY)) for request in self._queue])
        self._queue.clear()

    def _answer(self, outcomes: list[_Outcome]) -> None:
        self._answers.append(outcomes)
        self._loop.call_later(self.memory.wait(), self._deliver)

    def _commit_some(self, count: int) -> list[_Outcome]:
        changed: dict[str, None] = {}
        outcomes: list[_Outcome] = []
        for _ in range(count):
            request = self._queue.popleft()
            coroutine = request.work()
            try:
                coroutine.send(None)
            except StopIteration as end:
                outcomes.append((request, end.value, None))
                changed[request.subject] = None
                # Another one may have been refused: see `claim`.
                if end.value is not False:
                    self._doubts.pop((request.kind, request.subject), None)
            except StorageError as error:
                outcomes.append((request, None, error))
            else:
                raise AssertionError("the model of the store must not suspend")
        for subject in changed:
            for other in self.memory.stores:
                if other is not self:
                    other.tell(subject)
        return outcomes

    def _deliver(self) -> None:
        for request, result, error in self._answers.popleft():
            if error is None:
                request.done(result)
                if request.future.done():
                    continue
                request.future.set_result(result)
            elif not request.future.done():
                request.future.set_exception(error)
                request.future.exception()

    def tell(self, subject: str) -> None:
        """Another replica has changed something."""
        if self._process.is_dead:
            return
        if subject in self._listeners:
            self._tell(2, self._hear, subject)
        if subject in self._followed:
            self._tell(2, self._look, [subject])
        if subject in self._lease_listeners:
            self._tell(1, self._hear_lease, subject)

    def _tell(self, ways: int, call: Callable[..., None], *args: Any) -> None:
        wait = sum(self.memory.wait() for _ in range(ways))
        # Whoever has changed it may end meanwhile.
        self._loop.call_later(wait, self._process.soon, call, *args, context=Context())

    def _hear(self, channel_id: str) -> None:
        channel = self.memory.channels.get(channel_id)
        if channel is not None and channel_id not in self._windows:
            self._notify(channel_id, channel.last, channel.closed)

    def _hear_lease(self, name: str) -> None:
        listeners = self._lease_listeners.get(name)
        if listeners is not None:
            listeners.notify()

    def _look(self, ids: Sequence[str]) -> None:
        """See how far channels are that are followed."""
        listeners: dict[_Follower, None] = {}
        for channel_id in ids:
            if channel_id in self._followed:
                listeners |= self._followed[channel_id]
        # All channels of a follower at once, as one query sees them.
        for channel_id, followers in self._followed.items():
            if any(follower in listeners for follower in followers):
                channel = self.memory.channels.get(channel_id)
                self._known[channel_id] = channel and ChannelState(
                    channel.first, channel.last, channel.closed
                )
                if channel is not None and channel_id in self._windows:
                    # It has lost what it wrote to. A window is as new as what is known of it.
                    self._windows[channel_id] = channel.last, channel.closed
        for listener in listeners:
            listener()

    def follow(self, ids: Iterable[str], listener: _Follower) -> Callable[[], None]:
        ids = list(ids)
        for channel_id in ids:
            # This replica may have written it before.
            self._windows.pop(channel_id, None)
            self._followed.setdefault(channel_id, {})[listener] = None
        self._loop.call_later(self.memory.wait(), self._look, ids)

        def unfollow() -> None:
            for channel_id in ids:
                followers = self._followed.get(channel_id, {})
                followers.pop(listener, None)
                if not followers:
                    self._followed.pop(channel_id, None)
                    self._known.pop(channel_id, None)

        return unfollow

    def extents(self, ids: Iterable[str]) -> dict[str, ChannelState] | None:  # type: ignore[override] # it may not know
        ids = list(ids)
        if any(channel_id not in self._known for channel_id in ids):
            return None
        known = {channel_id: self._known[channel_id] for channel_id in ids}
        return {channel_id: state for channel_id, state in known.items() if state is not None}

    def _notify(self, channel_id: str, last: int, closed: bool) -> None:
        for listener in tuple(self._listeners.get(channel_id, ())):
            listener(last, closed)

    # -- reading

    async def _read(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        await asyncio.sleep(self.memory.wait())
        if self.memory.away:
            await asyncio.sleep(1.0)
            raise StorageError(_AWAY)
        result = await work()
        await asyncio.sleep(self.memory.wait())
        return result

    # -- leases

    async def lease(self, name: str, state: bytes, **options: Any) -> None:
        base = super()

        async def work() -> None:
            try:
                await base.lease(name, state, **options)
            except LeaseTakenError:
                if ("lease", name) not in self._doubts:
                    raise
                try:
                    await base.renew(name, state)
                except LeaseLostError as error:
                    raise LeaseTakenError(str(error)) from error

        await self._write("lease", name, work, lambda _: self._hear_lease(name))

    async def renew(self, name: str, state: bytes) -> None:
        base = super()
        await self._write(
            "renew", name, lambda: base.renew(name, state), lambda _: self._hear_lease(name)
        )

    async def end(self, name: str, state: bytes, *, expires: float) -> None:
        base = super()

        async def work() -> None:
            await base.end(name, state, expires=expires)
            self._tell_of_queue()

        await self._write("end", name, work, lambda _: self._hear_lease(name))

    def _tell_of_queue(self) -> None:
        for store in self.memory.stores:
            store.tell(QUEUE)

    async def change_queue(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Change the queue of builds, and tell all replicas."""

        async def change() -> Any:
            result = await work()
            self._tell_of_queue()
            return result

        return await self._write("queue", "", change)

    async def read_queue(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Read the queue of builds."""
        return await self._read(work)

    async def drop(self, name: str) -> None:
        base = super()

        async def work() -> None:
            await base.drop(name)
            self._tell_of_queue()

        await self._write("drop", name, work, lambda _: self._hear_lease(name))

    async def take(self, name: str) -> Lease:
        base = super()
        return await self._own("take", name, lambda: base.take(name))

    async def revive(self, name: str) -> Lease:
        base = super()
        return await self._own("revive", name, lambda: base.revive(name))

    async def _own(
        self, kind: str, name: str, own: Callable[[], Coroutine[Any, Any, Lease]]
    ) -> Lease:
        async def work() -> tuple[Lease, list[str]]:
            try:
                lease = await own()
            except LeaseLostError:
                lost = self.memory.leases.get(name)
                if (kind, name) not in self._doubts or lost is None:
                    raise
                if lost.owner != self.replica or lost.ended:
                    raise
                lease = lost
            return lease, [i for i, c in self.memory.channels.items() if c.lease == name]

        def done(taken: tuple[Lease, list[str]]) -> None:
            self.took()
            for channel_id in taken[1]:
                channel = self.memory.channels.get(channel_id)
                if channel is not None and not channel.closed:
                    self._windows[channel_id] = channel.last, False
            self._hear_lease(name)

        lease: Lease = (await self._write(kind, name, work, done))[0]
        return lease

    async def give(self, name: str, replica: str) -> None:
        base = super()

        def done(_: None) -> None:
            self._hear_lease(name)
            for store in self.memory.stores:
                store.tell(OWNERS)

        await self._write("give", name, lambda: base.give(name, replica), done)

    async def claim(self, name: str, *, to: str, state: bytes) -> bool:
        base = super()

        async def work() -> bool:
            if await base.claim(name, to=to, state=state):
                return True
            claimed = self.memory.leases.get(name)
            if ("claim", name) not in self._doubts or claimed is None or claimed.asked != to:
                return False
            await base.renew(to, state)
            return True

        def done(_: bool) -> None:
            self._hear_lease(name)
            self._hear_lease(to)

        claimed: bool = await self._write("claim", name, work, done)
        return claimed

    async def ask(self, name: str, what: str) -> None:
        base = super()
        await self._write(
            "ask", name, lambda: base.ask(name, what), lambda _: self._hear_lease(name)
        )

    async def seen(self, names: Iterable[str]) -> None:
        base, names = super(), list(names)
        await self._write("seen", "", lambda: base.seen(names))

    async def find(self, name: str) -> Lease | None:
        return await self._read(lambda: super(SimulatedStore, self).find(name))

    async def find_key(self, key: str) -> Lease | None:
        return await self._read(lambda: super(SimulatedStore, self).find_key(key))

    async def leases(
        self, prefix: str, *, ended: bool | None = None, user: str | None = None
    ) -> list[Lease]:
        base = super()
        return await self._read(lambda: base.leases(prefix, ended=ended, user=user))

    async def abandoned(self) -> list[Lease]:
        return await self._read(super().abandoned)

    def watch_lease(self, name: str, listener: Callable[[], None]) -> Callable[[], None]:
        listeners = self._lease_listeners.setdefault(name, Broadcast())
        listeners.add(listener)
        return lambda: listeners.remove(listener)

    # -- channels

    async def create(self, channel_id: str, *, first: int = 1, lease: str = "") -> None:
        base = super()

        async def work() -> None:
            channel = self.memory.channels.get(channel_id)
            doubtful = ("create", channel_id) in self._doubts
            if doubtful and channel is not None and channel.last == first - 1:
                self._writable(channel_id)
                return
            await base.create(channel_id, first=first, lease=lease)

        def done(_: None) -> None:
            self._windows[channel_id] = first - 1, False

        await self._write("create", channel_id, work, done)

    async def append(self, channel_id: str, events: Sequence[Encoded], *, expected: int) -> None:
        base = super()

        async def work() -> None:
            rest, after = events, expected
            if ("append", channel_id) in self._doubts:
                channel = self._writable(channel_id)
                rest = [event for event in events if event.id > channel.last]
                after = max(expected, channel.last)
            if rest:
                await base.append(channel_id, rest, expected=after)

        def done(_: None) -> None:
            self._windows[channel_id] = events[-1].id, False
            self._notify(channel_id, events[-1].id, False)

        try:
            await self._write("append", channel_id, work, done)
        except LeaseLostError:
            self._windows.pop(channel_id, None)
            raise

    async def close(self, channel_id: str) -> None:
        base = super()

        async def work() -> int:
            await base.close(channel_id)
            return self.memory.channels[channel_id].last

        def done(last: int) -> None:
            self._windows.pop(channel_id, None)
            self._notify(channel_id, last, True)

        await self._write("close", channel_id, work, done)

    async def discard(self, channel_id: str) -> None:
        base = super()
        await self._write("discard", channel_id, lambda: base.discard(channel_id))

    async def describe(self, channel_id: str) -> ChannelState:
        state: ChannelState = await self._read(
            lambda: super(SimulatedStore, self).describe(channel_id)
        )
        window = self._windows.get(channel_id)
        if window is not None and state.last > window[0]:
            # It was stored, and only the answer was lost.
            self._windows[channel_id] = state.last, state.closed
            self._notify(channel_id, state.last, state.closed)
        return state

    def read_nowait(  # type: ignore[override] # it has a window, which the base class has not
        self, channel_id: str, after: int, *, limit: int
    ) -> Sequence[Encoded] | None:
        window = self._windows.get(channel_id)
        if window is None or channel_id not in self.memory.channels:
            return None
        limit = min(limit, window[0] - after)
        return self.memory.events.read_nowait(channel_id, after, limit=limit)

    async def read(self, channel_id: str, after: int, *, limit: int) -> Sequence[Encoded]:
        base = super()
        found = self.read_nowait(channel_id, after, limit=limit)
        if found is not None:
            return found

        async def work() -> Sequence[Encoded]:
            if channel_id not in self.memory.channels:
                raise ChannelNotFoundError(f"There is no channel {channel_id}.")
            return await base.read(channel_id, after, limit=limit)

        return await self._read(work)

    def watch(self, channel_id: str, listener: Listener) -> Callable[[], None]:
        listeners = self._listeners.setdefault(channel_id, {})
        listeners[listener] = None
        return lambda: listeners.pop(listener, None)  # type: ignore[func-returns-value] # nobody uses it


def expired(database: Database, now: float) -> Iterable[str]:
    """Return the leases that may be deleted."""
    return [name for name, expires in database.expires.items() if expires <= now]
