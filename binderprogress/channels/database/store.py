"""A durable store in a database, see `durable.DurableStore`."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ...core.events import Encoded
from ...database.purpose import Purpose
from ...errors import ConfigError, LeaseLostError, StorageError
from ..base import Listener
from ..durable import WINDOW, ChannelState, Lease, LeaseLimit, Others, replica_name
from . import ownership
from .build_queue import BuildTickets
from .lease_watchers import LeaseWatchers
from .limits import keep_trying
from .logs import Logs
from .mirrors import Mirrors
from .notices import announce
from .opening import open_database
from .postgresql import PostgreSQL
from .rates import Rates
from .reader import Reader
from .requests import Append, Close, Create, Discard
from .retention import keep_tidy
from .session import OWNERS
from .sqlite import SQLite
from .tables import VERSION_TABLE
from .windows import Windows
from .writer import Writer, resolve

if TYPE_CHECKING:
    from .notifications import Notifications

__all__ = ["DatabaseStore"]

_PURPOSE = Purpose(
    name="launches",
    setting="c.Storage.url",
    instead='to another database, or to "memory" to keep launches in memory only',
    file="launches.sqlite",
    migrations="binderprogress.channels.database:migrations",
    version_table=VERSION_TABLE,
    version="0006",
)

_INTERVAL = 0.02
"""Seconds between commits, at least. The first after a pause is made at once."""

_SWITCH = 0.001
"""Seconds that a thread may keep others from running Python."""

_FINISH = 3.0
_STOP = 1.0
"""Seconds of a shutdown: to finish what was requested, and to end the thread then."""

_FOR_EVER = 1e12
"""Seconds that the only process of a file is a replica."""


class DatabaseStore:
    """Keeps channels and leases in a database; see `durable.DurableStore`.

    Parameters
    ----------
    url : str
        ``sqlite:///`` with the path of a file, or ``postgresql://``.
    window : int
        Bytes of the newest events of a channel that are kept in memory.
    timeout : float
        Seconds after which a database that does not answer is an error.
    lasts : float
        With PostgreSQL: seconds after which a replica that says nothing counts as gone.
    budget : int
        Bytes of events that are kept. Ended launches are deleted earlier if there are more.
    keys : str
        With PostgreSQL: what tokens are encrypted with, see `cipher.Keys`.
    share_logs : bool
        With PostgreSQL: whether logs of builds are kept there for all replicas.
    log : logging.Logger

    Raises
    ------
    ConfigError
        If the database can never be used as it is configured.
    """

    def __init__(
        self,
        url: str,
        *,
        window: int = WINDOW,
        timeout: float = 10.0,
        lasts: float = 15.0,
        budget: int = 2**62,
        keys: str = "",
        share_logs: bool = True,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._lasts = lasts
        self._timeout = timeout
        self._budget = budget
        self._log = log
        self._replica = replica_name()
        self._stopping = threading.Event()
        self._silent = threading.Event()
        self._database: SQLite | PostgreSQL
        if "://" in url and not url.startswith(("sqlite", "postgres")):
            raise ConfigError(
                f"{_PURPOSE.setting} is neither SQLite nor PostgreSQL, which launches need."
            )
        if url.startswith("postgres"):
            self._database = PostgreSQL(
                url, _PURPOSE, timeout=timeout, keys=keys, stopping=self._stopping
            )
        else:
            self._database = SQLite(url, _PURPOSE, timeout=timeout)
        self._windows = Windows(window, lambda ids: self._mirrors.refresh(ids))
        self._lease_watchers = LeaseWatchers()
        self._reader = Reader(
            self._database.engine,
            cipher=self._database.cipher,
            where=self._database.where,
            timeout=timeout,
        )
        self.rates = Rates(self._reader) if self.is_shared else None
        """Counts requests; see `durable.DurableStore.rates`."""
        self.logs = Logs(self._reader) if self.is_shared and share_logs else None
        """Keeps logs of builds; see `durable.DurableStore.logs`."""
        self.queue = BuildTickets(lambda: self._writer, self._reader, self._lease_watchers, timeout)
        self._notifications: Notifications | None = None
        self._writer: Writer
        self._mirrors: Mirrors
        self._tidying: asyncio.Task[None]
        self._tidy_wanted: asyncio.Event
        self._written = 0

    @property
    def replica(self) -> str:
        """The name of this process; see `durable.DurableStore.replica`."""
        return self._replica

    @property
    def commits(self) -> int:
        """Number of transactions that were committed."""
        return self._writer.commits

    @property
    def is_shared(self) -> bool:
        """Whether it is in PostgreSQL; see `durable.DurableStore.is_shared`."""
        return self._database.is_shared

    @property
    def others(self) -> Others:
        """The other replicas; see `durable.DurableStore.others`."""
        return Others() if self._notifications is None else self._notifications.others

    @property
    def is_alive(self) -> bool:
        """Whether other replicas certainly believe that this one is alive."""
        notifications = self._notifications
        return notifications is None or time.monotonic() < notifications.alive_until

    # -- opening and shutting down

    def reserve(self) -> None:
        """Keep other processes from using a file of SQLite, before it is opened.

        Raises
        ------
        ConfigError
            If another process uses it.
        """
        if isinstance(self._database, SQLite):
            self._database.acquire()

    async def open(self) -> None:
        """Connect; see `durable.DurableStore.open`."""
        # A commit takes a dozen turns of the writer. With Python's 5 ms, that would be 60 ms.
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH))
        await self._reader.call(partial(open_database, self._database, _PURPOSE))
        shared = self._database.is_shared
        self._tidy_wanted = asyncio.Event()
        self._writer = Writer(
            self._database.engine,
            replica=self._replica,
            cipher=self._database.cipher,
            where=self._database.where,
            interval=_INTERVAL,
            on_leases=self._lease_watchers.notify,
            announce=announce if shared else None,
            log=self._log,
        )
        self._mirrors = Mirrors(self._windows, self._reader, log=self._log)
        self._tidying = asyncio.create_task(
            keep_tidy(
                self._writer.submit,
                budget=self._budget,
                wanted=self._tidy_wanted,
                deleted=self._deleted,
                log=self._log,
            ),
            name="retention",
        )
        try:
            lasts = self._lasts if shared else _FOR_EVER
            await self._writer.submit(ownership.Join(lasts, alone=not shared))
            if isinstance(self._database, PostgreSQL):
                from .notifications import Notifications  # psycopg is needed only here

                self._notifications = Notifications(
                    self._database.connector(self._silent),
                    self,
                    asyncio.get_running_loop(),
                    replica=self._replica,
                    lasts=self._lasts,
                    stopping=self._silent,
                    log=self._log,
                )
                # Nothing is watched before it can hear other replicas.
                await self._notifications.begun.wait()
        except BaseException:
            await self._stop(0.0)
            raise

    async def shutdown(self) -> None:
        """Finish and stop; see `durable.DurableStore.shutdown`. It takes 5 s at most."""
        until = time.monotonic() + _FINISH
        # Before it leaves: it would say once more that it is alive.
        self._silent.set()
        try:
            async with asyncio.timeout(_FINISH):
                if self._notifications is not None:
                    await self._notifications.ended.wait()
                await self._writer.submit(ownership.Leave())
        except (StorageError, TimeoutError) as error:
            self._log.error(
                "Other replicas do not know that this one has stopped: %s",
                str(error) or f"{self._database.where} does not answer",
            )
        await self._stop(max(until - time.monotonic(), 0.1))

    async def _stop(self, patience: float) -> None:
        """End everything, without telling other replicas."""
        self._silent.set()
        self._tidying.cancel()
        await asyncio.gather(self._tidying, return_exceptions=True)
        await self._mirrors.close()
        self._reader.close()
        closing = asyncio.create_task(self._writer.close(timeout=patience + _STOP))
        await asyncio.wait([closing], timeout=patience)
        self._stopping.set()
        await closing
        self._database.release()

    # -- channels

    async def create(self, channel_id: str, *, first: int = 1, lease: str = "") -> None:
        """Create an empty channel; see `base.ChannelStore.create`."""
        state = ChannelState(first, first - 1, closed=False)
        await self._writer.submit(
            Create(channel_id, first, lease), lambda _: self._windows.own(channel_id, state)
        )

    async def append(self, channel_id: str, events: Sequence[Encoded], *, expected: int) -> None:
        """Append a batch of events; see `base.ChannelStore.append`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.append_soon(channel_id, events, expected=expected, done=partial(resolve, future, None))
        await future

    def append_soon(
        self,
        channel_id: str,
        events: Sequence[Encoded],
        *,
        expected: int,
        done: Callable[[Exception | None], None],
    ) -> None:
        """Append a batch of events; see `base.PromptStore.append_soon`."""
        request = Append.of(channel_id, events, expected)

        def settle(_: None, error: StorageError | None) -> None:
            if isinstance(error, LeaseLostError):
                self._windows.disown(channel_id)
            done(error)

        self._writer.submit_soon(request, settle, partial(self._appended, request))

    def _appended(self, request: Append, _: None) -> None:
        self._windows.extend(request.channel, request.events)
        self._written += request.size
        if self._written > self._budget // 16:
            self._written = 0
            self._tidy_wanted.set()

    def read_nowait(self, channel_id: str, after: int, *, limit: int) -> Sequence[Encoded] | None:
        """Return events from memory; see `base.ChannelStore.read_nowait`."""
        return self._windows.read(channel_id, after, limit)

    async def read(self, channel_id: str, after: int, *, limit: int) -> Sequence[Encoded]:
        """Return events; see `base.ChannelStore.read`."""
        found = self._windows.read(channel_id, after, limit)
        return await self._reader.events(channel_id, after, limit) if found is None else found

    async def describe(self, channel_id: str) -> ChannelState:
        """Return the extent of a channel; see `durable.DurableStore.describe`."""
        state = await self._reader.describe(channel_id)
        self._windows.describe(channel_id, state)
        return state

    def watch(self, channel_id: str, listener: Listener) -> Callable[[], None]:
        """Have a listener called after each change; see `base.ChannelStore.watch`.

        If another process writes to the channel, the first call may be for what was there before.
        """
        return self._windows.watch(channel_id, listener)

    def follow(self, ids: Iterable[str], listener: Callable[[], None]) -> Callable[[], None]:
        """Have a listener called; see `durable.DurableStore.follow`."""
        return self._windows.follow(ids, listener)

    def extents(self, ids: Iterable[str]) -> Mapping[str, ChannelState] | None:
        """Return the extents of followed channels; see `durable.DurableStore.extents`."""
        return self._windows.extents(ids)

    async def close(self, channel_id: str) -> None:
        """Close a channel; see `base.ChannelStore.close`."""
        await self._writer.submit(Close(channel_id), lambda _: self._windows.close(channel_id))

    async def discard(self, channel_id: str) -> None:
        """Delete a channel; see `base.ChannelStore.discard`."""
        await self._writer.submit(Discard(channel_id), lambda _: self._windows.forget(channel_id))

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
        """Create a lease; see `durable.DurableStore.lease`."""
        limits = limits if self.is_shared else ()
        request = ownership.CreateLease(name, state, key, user, client, limits)
        await keep_trying(lambda: self._writer.submit(request), patience=self._timeout)

    async def renew(self, name: str, state: bytes) -> None:
        """Replace the state of a lease; see `durable.DurableStore.renew`."""
        await self._writer.submit(ownership.Renew(name, state))

    async def end(self, name: str, state: bytes, *, expires: float) -> None:
        """End a lease; see `durable.DurableStore.end`."""
        await self._writer.submit(ownership.End(name, state, expires))
        if expires <= time.time():
            self._tidy_wanted.set()

    async def drop(self, name: str) -> None:
        """Delete a lease and its channels; see `durable.DurableStore.drop`."""
        await self._writer.submit(ownership.Drop(name), self._deleted)

    def _deleted(self, ids: list[str]) -> None:
        for channel_id in ids:
            self._windows.forget(channel_id)

    async def take(self, name: str) -> Lease:
        """Become the owner of an abandoned lease; see `durable.DurableStore.take`."""
        taken: ownership.Taken = await self._writer.submit(ownership.Take(name), self._taken)
        return taken.lease

    def _taken(self, taken: ownership.Taken) -> None:
        for channel_id, state in taken.channels.items():
            if not state.closed:
                self._windows.own(channel_id, state)

    async def revive(self, name: str) -> Lease:
        """Become the owner of a lease that has ended; see `durable.DurableStore.revive`."""
        taken: ownership.Taken = await self._writer.submit(ownership.Revive(name), self._taken)
        return taken.lease

    async def give(self, name: str, replica: str) -> None:
        """Give a lease to another replica; see `durable.DurableStore.give`."""
        await self._writer.submit(ownership.Give(name, replica), self._given)

    def _given(self, ids: list[str]) -> None:
        for channel_id in ids:
            self._windows.disown(channel_id)

    async def claim(self, name: str, *, to: str, state: bytes) -> bool:
        """End a lease for another one; see `durable.DurableStore.claim`."""
        claimed: bool = await self._writer.submit(ownership.Claim(name, to, state))
        return claimed

    async def ask(self, name: str, what: str) -> None:
        """Ask the owner of a lease for something; see `durable.DurableStore.ask`."""
        await self._writer.submit(ownership.Ask(name, what))

    async def seen(self, names: Iterable[str]) -> None:
        """Note that launches have viewers here; see `durable.DurableStore.seen`."""
        await self._writer.submit(ownership.Seen(list(names)))

    async def find(self, name: str) -> Lease | None:
        """Return the lease of a name; see `durable.DurableStore.find`."""
        return await self._reader.lease(name)

    async def find_key(self, key: str) -> Lease | None:
        """Return the lease of a key; see `durable.DurableStore.find_key`."""
        return await self._reader.lease_of_key(key)

    async def leases(
        self, prefix: str, *, ended: bool | None = None, user: str | None = None
    ) -> list[Lease]:
        """List leases; see `durable.DurableStore.leases`."""
        return await self._reader.leases_of(prefix, ended=ended, user=user)

    async def abandoned(self) -> list[Lease]:
        """List leases whose owner is gone; see `durable.DurableStore.abandoned`."""
        return await self._reader.abandoned(self._replica)

    def watch_lease(self, name: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Have a listener called after a change; see `durable.DurableStore.watch_lease`."""
        return self._lease_watchers.watch(name, listener)

    def watch_owners(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have a listener called; see `durable.DurableStore.watch_owners`."""
        return self._lease_watchers.watch(OWNERS, listener)

    # -- other replicas, see `notifications.Hearer`

    def wants(self, channels: Iterable[str], leases: Iterable[str]) -> tuple[list[str], list[str]]:
        """Return those that somebody watches. Called in another thread."""
        watched = [channel_id for channel_id in channels if channel_id in self._windows]
        return watched, [name for name in leases if name in self._lease_watchers]

    def changed(self, channels: list[str], leases: list[str]) -> None:
        """Note that another replica has changed something."""
        self._mirrors.refresh(channels)
        self._lease_watchers.notify(leases)

    def reconnected(self) -> None:
        """Compare what is watched with the database."""
        self.changed(self._windows.watched, self._lease_watchers.names)

    def lapsed(self) -> None:
        """Compare what is watched with the database."""
        self.reconnected()
