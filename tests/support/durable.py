"""A model of a durable store, for tests: what it keeps outlives the servers that use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import msgspec

from binderprogress.channels.base import Listener
from binderprogress.channels.durable import (
    ChannelState,
    Lease,
    LeaseLimit,
    Others,
)
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.channels.shared_rates import RequestCount, SharedRates
from binderprogress.core.build_queue import Ticket
from binderprogress.core.events import Encoded
from binderprogress.errors import (
    ChannelConflictError,
    ChannelNotFoundError,
    LeaseLimitError,
    LeaseLostError,
    LeaseTakenError,
    StorageError,
)
from binderprogress.launches.memory_tickets import MemoryTickets

__all__ = ["DurableMemoryStore", "DurableTickets", "Memory"]

OWNERS = "owners"


class _Channel(msgspec.Struct):
    lease: str
    first: int
    last: int
    closed: bool = False


class Memory:
    """What all replicas share."""

    def __init__(self) -> None:
        self.leases: dict[str, Lease] = {}
        self.expires: dict[str, float] = {}
        self.clients: dict[str, str] = {}
        self.rates: dict[str, tuple[float, int]] = {}
        self.channels: dict[str, _Channel] = {}
        self.events = MemoryChannelStore()
        self.alive: set[str] = set()
        self.listeners: dict[str, set[Callable[[], None]]] = {}
        self.given: set[str] = set()
        """Leases that their owner has yet to take."""
        self.seen: dict[str, float] = {}
        self.followers: dict[str, set[Callable[[], None]]] = {}
        self.queue = MemoryTickets()

    def notify(self, name: str) -> None:
        for listener in tuple(self.listeners.get(name, ())):
            listener()

    def notify_followers(self, channel_id: str) -> None:
        for listener in tuple(self.followers.get(channel_id, ())):
            listener()


class DurableTickets:
    """One replica's view of the queue of builds; see `channels.build_tickets.BuildTickets`."""

    def __init__(self, store: DurableMemoryStore) -> None:
        self.store = store

    async def take_turn(self, name: str, *, owner: str, seconds: float, most: int) -> bool:
        await self.store._suspend()
        if self.store._owned(name).ended:
            raise LeaseLostError(f"{name} has ended.")
        queue = self.store.memory.queue
        return await queue.take_turn(name, owner=owner, seconds=seconds, most=most)

    async def join(self, name: str, *, owner: str) -> None:
        await self.store._suspend()
        await self.store.memory.queue.join(name, owner=owner)

    async def tickets(self) -> Sequence[Ticket]:
        await self.store._suspend()
        return await self.store.memory.queue.tickets()

    def watch(self, listener: Callable[[], None]) -> Callable[[], None]:
        return self.store.memory.queue.watch(listener)


class DurableMemoryStore:
    """One replica's view of the memory. What changes something suspends first."""

    def __init__(self, memory: Memory, replica: str) -> None:
        self.memory = memory
        self.replica = replica
        self.queue = DurableTickets(self)
        self.is_dead = False
        self.away = False
        """Whether everything that is asked of it fails."""
        self._fences: dict[str, int] = {}
        """The fencing numbers with which this replica owns leases."""

    @property
    def others(self) -> Others:
        theirs = [
            lease.name
            for lease in self.memory.leases.values()
            if not lease.ended and lease.owner != self.replica
        ]
        return Others(
            replicas=len(self.memory.alive - {self.replica}),
            launches=sum(name.startswith("launch.") for name in theirs),
            builds=sum(name.startswith("build.") for name in theirs),
        )

    @property
    def rates(self) -> SharedRates:
        return self

    async def count(self, client: str, *, limit: int, period: float) -> RequestCount:
        await self._suspend()
        now = asyncio.get_running_loop().time()
        end, count = self.memory.rates.get(client, (0.0, 0))
        if now >= end:
            end, count = now + period, 0
        self.memory.rates[client] = end, min(count + 1, limit + 1)
        return RequestCount(count=min(count + 1, limit + 1), seconds=end - now)

    @property
    def logs(self) -> None:
        """Tests of copied logs have a PostgreSQL."""

    @property
    def is_shared(self) -> bool:
        return True

    async def open(self) -> None:
        assert self.replica not in self.memory.alive
        self.memory.alive.add(self.replica)

    async def shutdown(self) -> None:
        self.memory.alive.discard(self.replica)
        self.memory.notify(OWNERS)

    def die(self) -> None:
        """End as by SIGKILL: nothing that this replica does from here on comes to an end."""
        self.memory.alive.discard(self.replica)
        self.is_dead = True

    def pause(self) -> None:
        """End as by SIGSTOP: others take its leases, and it goes on later."""
        self.memory.alive.discard(self.replica)

    def wake_up(self) -> None:
        """Go on after `pause`, and find out what was lost."""
        self.memory.alive.add(self.replica)
        for name in self.memory.leases:
            self.memory.notify(name)

    async def _suspend(self) -> None:
        await asyncio.sleep(0)
        if self.is_dead:
            await asyncio.get_running_loop().create_future()
        if self.away:
            raise StorageError("The database does not answer.")

    # -- leases

    async def lease(
        self,
        name: str,
        state: bytes,
        *,
        key: str = "",
        user: str = "",
        client: str = "",
        limits: Sequence[LeaseLimit] = (),
    ) -> None:
        await self._suspend()
        for number, limit in enumerate(limits):
            count = sum(self._counts(lease, limit) for lease in self.memory.leases.values())
            if count >= limit.most:
                raise LeaseLimitError(number=number, count=count)
        if name in self.memory.leases or (key and self._of_key(key)):
            raise LeaseTakenError(f"{name} is taken.")
        self._fences[name] = 1
        self.memory.clients[name] = client
        self.memory.leases[name] = Lease(
            name=name, state=state, owner=self.replica, fence=1, key=key, user=user
        )

    def _counts(self, lease: Lease, limit: LeaseLimit) -> bool:
        return (
            not lease.ended
            and lease.name.startswith(limit.prefix)
            and limit.user in {"", lease.user}
            and limit.client in {"", self.memory.clients[lease.name]}
        )

    async def renew(self, name: str, state: bytes) -> None:
        await self._suspend()
        lease = self._owned(name)
        if lease.ended:
            raise LeaseLostError(f"{name} has ended.")
        self._replace(lease, state=state)

    async def end(self, name: str, state: bytes, *, expires: float) -> None:
        await self._suspend()
        self._replace(self._owned(name), state=state, ended=True, key="")
        self.memory.queue.leave(name)
        self.memory.expires[name] = expires

    async def drop(self, name: str) -> None:
        await self._suspend()
        lease = self.memory.leases.get(name)
        if lease is None or lease.owner != self.replica:
            return
        del self.memory.leases[name]
        self.memory.queue.leave(name)
        for channel_id in [i for i, c in self.memory.channels.items() if c.lease == name]:
            del self.memory.channels[channel_id]
            await self.memory.events.discard(channel_id)
        self.memory.notify(name)

    async def take(self, name: str) -> Lease:
        await self._suspend()
        lease = self.memory.leases.get(name)
        if lease is None or not self._may_take(lease):
            raise LeaseLostError(f"{name} is not abandoned.")
        self._fences[name] = lease.fence + 1
        self.memory.given.discard(name)
        return self._replace(lease, owner=self.replica, fence=lease.fence + 1)

    async def revive(self, name: str) -> Lease:
        await self._suspend()
        lease = self.memory.leases.get(name)
        if lease is None or not lease.ended:
            raise LeaseLostError(f"{name} has not ended.")
        self._fences[name] = lease.fence + 1
        self.memory.given.discard(name)
        self.memory.expires.pop(name, None)
        return self._replace(lease, owner=self.replica, fence=lease.fence + 1, ended=False)

    def _may_take(self, lease: Lease) -> bool:
        if lease.owner == self.replica:
            return not lease.ended and lease.name in self.memory.given
        return not lease.ended and lease.owner not in self.memory.alive

    async def give(self, name: str, replica: str) -> None:
        await self._suspend()
        lease = self.memory.leases.get(name)
        if lease is None or lease.ended or lease.owner != self.replica:
            raise LeaseLostError(f"{name} is owned by another replica, or has ended.")
        if replica != self.replica and replica not in self.memory.alive:
            raise LeaseLostError(f"{replica} is gone.")
        self.memory.given.add(name)
        self._replace(lease, owner=replica, fence=lease.fence + 1)
        self.memory.notify(OWNERS)

    async def claim(self, name: str, *, to: str, state: bytes) -> bool:
        await self._suspend()
        claimed = self.memory.leases.get(name)
        if claimed is None or claimed.ended:
            return False
        mine = self._owned(to)
        if mine.ended:
            raise LeaseLostError(f"{to} has ended.")
        self._replace(mine, state=state)
        self._replace(claimed, ended=True, key="", asked=to)
        return True

    async def ask(self, name: str, what: str) -> None:
        await self._suspend()
        lease = self.memory.leases.get(name)
        if lease is None or lease.ended:
            raise LeaseLostError(f"{name} has ended.")
        self._replace(lease, asked=what)

    async def seen(self, names: Iterable[str]) -> None:
        await self._suspend()
        now = asyncio.get_running_loop().time()
        self.memory.seen.update(dict.fromkeys(names, now))

    async def find(self, name: str) -> Lease | None:
        await self._suspend()
        lease = self.memory.leases.get(name)
        return None if lease is None else self._with_age(lease)

    def _with_age(self, lease: Lease) -> Lease:
        seen = self.memory.seen.get(lease.name)
        if seen is None:
            return lease
        return msgspec.structs.replace(lease, unseen=asyncio.get_running_loop().time() - seen)

    async def find_key(self, key: str) -> Lease | None:
        await self._suspend()
        return self._of_key(key) if key else None

    def _of_key(self, key: str) -> Lease | None:
        return next((one for one in self.memory.leases.values() if one.key == key), None)

    async def leases(
        self, prefix: str, *, ended: bool | None = None, user: str | None = None
    ) -> list[Lease]:
        await self._suspend()
        return [
            one
            for one in self.memory.leases.values()
            if one.name.startswith(prefix)
            and ended in {None, one.ended}
            and user in {None, one.user}
        ]

    async def abandoned(self) -> list[Lease]:
        await self._suspend()
        return [one for one in self.memory.leases.values() if self._may_take(one)]

    def watch_lease(self, name: str, listener: Callable[[], None]) -> Callable[[], None]:
        listeners = self.memory.listeners.setdefault(name, set())
        listeners.add(listener)
        return lambda: listeners.discard(listener)

    def watch_owners(self, listener: Callable[[], None]) -> Callable[[], None]:
        return self.watch_lease(OWNERS, listener)

    def _owned(self, name: str) -> Lease:
        lease = self.memory.leases.get(name)
        is_mine = lease is not None and self._fences.get(name) == lease.fence
        if lease is None or not is_mine or name in self.memory.given:
            raise LeaseLostError(f"{name} is owned by another replica.")
        return lease

    def _replace(self, lease: Lease, **changes: object) -> Lease:
        changed = msgspec.structs.replace(lease, **changes)
        self.memory.leases[lease.name] = changed
        self.memory.notify(lease.name)
        return changed

    # -- channels

    async def create(self, channel_id: str, *, first: int = 1, lease: str = "") -> None:
        await self._suspend()
        if lease:
            self._owned(lease)
        if channel_id in self.memory.channels:
            raise ChannelConflictError(f"The channel {channel_id} exists already.")
        self.memory.channels[channel_id] = _Channel(lease, first, first - 1)
        await self.memory.events.create(channel_id, first=first)
        self.memory.notify_followers(channel_id)

    async def append(self, channel_id: str, events: Sequence[Encoded], *, expected: int) -> None:
        await self._suspend()
        channel = self._writable(channel_id)
        await self.memory.events.append(channel_id, events, expected=expected)
        channel.last = events[-1].id
        self.memory.notify_followers(channel_id)

    async def close(self, channel_id: str) -> None:
        await self._suspend()
        self._writable(channel_id).closed = True
        await self.memory.events.close(channel_id)
        self.memory.notify_followers(channel_id)

    async def discard(self, channel_id: str) -> None:
        await self._suspend()
        if channel_id in self.memory.channels:
            self._writable(channel_id)
            del self.memory.channels[channel_id]
            await self.memory.events.discard(channel_id)

    async def describe(self, channel_id: str) -> ChannelState:
        await self._suspend()
        channel = self._channel(channel_id)
        return ChannelState(channel.first, channel.last, channel.closed)

    def read_nowait(self, channel_id: str, after: int, *, limit: int) -> None:
        return None

    async def read(self, channel_id: str, after: int, *, limit: int) -> Sequence[Encoded]:
        await self._suspend()
        return await self.memory.events.read(channel_id, after, limit=limit)

    def watch(self, channel_id: str, listener: Listener) -> Callable[[], None]:
        return self.memory.events.watch(channel_id, listener)

    def follow(self, ids: Iterable[str], listener: Callable[[], None]) -> Callable[[], None]:
        ids = list(ids)
        for channel_id in ids:
            self.memory.followers.setdefault(channel_id, set()).add(listener)
        asyncio.get_running_loop().call_soon(listener)

        def unfollow() -> None:
            for channel_id in ids:
                self.memory.followers[channel_id].discard(listener)

        return unfollow

    def extents(self, ids: Iterable[str]) -> dict[str, ChannelState]:
        return {
            channel_id: ChannelState(channel.first, channel.last, channel.closed)
            for channel_id in ids
            if (channel := self.memory.channels.get(channel_id)) is not None
        }

    def _channel(self, channel_id: str) -> _Channel:
        if channel_id not in self.memory.channels:
            raise ChannelNotFoundError(f"There is no channel {channel_id}.")
        return self.memory.channels[channel_id]

    def _writable(self, channel_id: str) -> _Channel:
        channel = self._channel(channel_id)
        if channel.lease:
            self._owned(channel.lease)
        return channel
