"""Reads from the database, in threads of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    bindparam,
    func,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from ..._daemon_threads import DaemonPool
from ...core.events import Encoded
from ...errors import ChannelNotFoundError, StorageError
from ..durable import ChannelState, Lease
from .cipher import Cipher
from .failures import storage_error
from .ownership import ONE, alive, hash_of, lease_of
from .tables import batches, channels, from_text, leases, to_text
from .window import News

if TYPE_CHECKING:
    from .news import NewsReader

__all__ = ["THREADS", "Reader"]

THREADS = 4

_T = TypeVar("_T")

_CHANNEL = select(channels).where(channels.c.id == bindparam("channel"))
_BATCHES = (
    select(batches)
    .where(batches.c.channel == bindparam("channel"), batches.c.last > bindparam("after"))
    .order_by(batches.c.last)
)
_CHANNELS = select(channels).where(channels.c.id.in_(bindparam("names", expanding=True)))
_PAGE = 8
"""Batches that are read at first: a slice may need one, or hundreds."""


class Reader:
    """Reads channels and leases.

    Parameters
    ----------
    engine : Engine
    cipher : Cipher
    where : str
        What the database is called in errors.
    timeout : float
        Seconds that a request may wait for a thread.
    """

    def __init__(self, engine: Engine, *, cipher: Cipher, where: str, timeout: float) -> None:
        # Each statement reads what is committed when it begins, in a transaction, too.
        is_shared = engine.dialect.name == "postgresql"
        self._engine = (
            engine.execution_options(isolation_level="AUTOCOMMIT") if is_shared else engine
        )
        self._cipher = cipher
        self._where = where
        self._timeout = timeout
        # News do not wait for what else is read.
        self._threads = DaemonPool(THREADS - 1, "channel reader")
        self._news_thread = DaemonPool(1, "channel news")
        self._news: NewsReader | None = None
        if is_shared:
            from .news import NewsReader  # psycopg is needed only here

            self._news = NewsReader(self._engine, self._decode)
        self._closed = False

    def close(self) -> None:
        """Begin nothing more. Threads end with what they do."""
        self._closed = True
        self._threads.close()
        self._news_thread.close()
        if self._news is not None:
            self._news.close()

    async def run(self, work: Callable[[Connection], _T]) -> _T:
        """Call a function with a connection, in a thread.

        Raises
        ------
        StorageError
            If the database reports an error.
        """
        until = time.monotonic() + self._timeout
        return await self.call(lambda: self._work(work, until))

    async def call(self, work: Callable[[], _T]) -> _T:
        """Call a function in a thread."""
        return await self._call(self._threads, work)

    async def _call(self, threads: DaemonPool, work: Callable[[], _T]) -> _T:
        if self._closed:
            raise StorageError("The server is stopping.")
        return await asyncio.wrap_future(threads.submit(work))

    def _work(self, work: Callable[[Connection], _T], until: float) -> _T:
        if time.monotonic() > until:
            # All threads wait for an answer, one after the other would here.
            raise StorageError(f"{self._where} does not answer.")
        try:
            with self._engine.connect() as connection:
                return work(connection)
        except (SQLAlchemyError, OSError) as error:
            raise storage_error(error, self._where) from error

    # -- channels

    async def events(self, channel_id: str, after: int, limit: int) -> Sequence[Encoded]:
        """Return the events after a number; see `base.ChannelStore.read`."""

        def read(connection: Connection) -> Sequence[Encoded]:
            state = _state(connection, channel_id)
            first = max(after + 1, state.first)
            return self._events(connection, channel_id, first, min(state.last, first + limit - 1))

        return await self.run(read)

    async def describe(self, channel_id: str) -> ChannelState:
        """Return the extent of a channel; see `durable.DurableStore.describe`."""
        return await self.run(lambda connection: _state(connection, channel_id))

    async def news(self, known: dict[str, int], size: int) -> dict[str, News]:
        """Return the state of channels, with what came after the numbers that are known.

        Parameters
        ----------
        known : dict
            By channel, the number of the last event that is known.
        size : int
            Bytes of events that are wanted of a channel, at most.
        """
        if (news := self._news) is not None:
            return await self._call(self._news_thread, lambda: self._read_news(news, known, size))
        return await self.run(lambda connection: self._news_of_file(connection, known, size))

    def _read_news(self, news: NewsReader, known: Mapping[str, int], size: int) -> dict[str, News]:
        try:
            return news.read(known, size)
        except (*news.errors, SQLAlchemyError, OSError) as error:
            raise storage_error(error, self._where) from error

    def _news_of_file(
        self, connection: Connection, known: Mapping[str, int], size: int
    ) -> dict[str, News]:
        names = {to_text(channel_id): channel_id for channel_id in known}
        found: dict[str, News] = {}
        for row in connection.execute(_CHANNELS, {"names": list(names)}).all():
            channel_id = names[row.id]
            after = max(known[channel_id], row.first - 1)
            rows = _newest(connection, row.id, after, row.last, size)
            events = [each for one in rows for each in self._decode_row(one)]
            new = [each for each in events if after < each.id <= row.last]
            found[channel_id] = News(ChannelState(row.first, row.last, row.closed), new)
        return found

    def _events(
        self, connection: Connection, channel_id: str, first: int, last: int
    ) -> Sequence[Encoded]:
        events: list[Encoded] = []
        after, page = first - 1, _PAGE
        while after < last:
            values = {"channel": to_text(channel_id), "after": after}
            found = connection.execute(_BATCHES.limit(page), values)
            page *= 4
            before = after
            with found:
                # Not all of them: the first may be enough.
                for row in found:
                    decoded = self._decode_row(row)
                    events += decoded[after + 1 - row.first : last + 1 - row.first]
                    after = row.last
                    if after >= last:
                        break
            if after == before:
                # It was deleted meanwhile.
                raise ChannelNotFoundError(f"There is no channel {channel_id}.")
        return events

    def _decode_row(self, row: Row[Any]) -> list[Encoded]:
        return self._decode(from_text(row.channel), row.first, row.last, row.sealed, row.data)

    def _decode(
        self, channel_id: str, first: int, last: int, sealed: bool, data: bytes
    ) -> list[Encoded]:
        """Return the events of a row."""
        data = self._cipher.unseal(data) if sealed else bytes(data)
        if first == last and data.find(b"\n\n") == len(data) - 2:
            return [Encoded(first, data)]
        blocks = data.split(b"\n\n")
        # After the last event, there is nothing.
        if len(blocks) != last - first + 2 or blocks.pop():
            raise StorageError(
                f"The events {first} to {last} of the channel {channel_id} in {self._where} are "
                "damaged."
            )
        return [Encoded(first + n, block + b"\n\n") for n, block in enumerate(blocks)]

    # -- leases

    async def lease(self, name: str) -> Lease | None:
        """Return the lease of a name."""
        return await self._one(leases.c.name == to_text(name))

    async def lease_of_key(self, key: str) -> Lease | None:
        """Return the lease of a key that has not ended."""
        return await self._one(leases.c.key_hash == hash_of(key)) if key else None

    async def leases(self, *conditions: Any) -> list[Lease]:
        """Return leases, the oldest first."""
        query = ONE.where(*conditions).order_by(leases.c.number)
        return await self.run(
            lambda connection: [lease_of(row, self._cipher) for row in connection.execute(query)]
        )

    async def leases_of(self, prefix: str, *, ended: bool | None, user: str | None) -> list[Lease]:
        """Return leases whose names begin with a prefix; see `durable.DurableStore.leases`."""
        begin = to_text(prefix)
        # Not LIKE, which ignores the case in SQLite.
        conditions: list[Any] = [func.substr(leases.c.name, 1, len(begin)) == begin]
        if ended is not None:
            conditions.append(leases.c.ended.is_not(None) if ended else leases.c.ended.is_(None))
        if user is not None:
            conditions.append(leases.c.user == to_text(user))
        return await self.leases(*conditions)

    async def abandoned(self, replica: str) -> list[Lease]:
        """Return what a replica may take; see `durable.DurableStore.abandoned`."""
        is_mine = leases.c.owner == replica
        # One that was silent for too long still runs its own.
        may = (is_mine & leases.c.given) | (~is_mine & ~alive(leases.c.owner))
        return await self.leases(leases.c.ended.is_(None), may)

    async def _one(self, condition: Any) -> Lease | None:
        found = await self.leases(condition)
        return found[0] if found else None


def _newest(
    connection: Connection, name: str, after: int, last: int, size: int
) -> Sequence[Row[Any]]:
    """Return the batches after a number, or the newest of them, without gaps."""
    if after >= last:
        return ()
    newest = (
        select(batches)
        .where(batches.c.channel == name, batches.c.last > after, batches.c.last <= last)
        .order_by(batches.c.last.desc())
    )
    rows: list[Row[Any]] = []
    with connection.execute(newest, execution_options={"yield_per": _PAGE}) as found:
        for row in found:
            rows.append(row)
            size -= len(row.data)
            if size <= 0:
                break
    return rows[::-1]


def _state(connection: Connection, channel_id: str) -> ChannelState:
    row = connection.execute(_CHANNEL, {"channel": to_text(channel_id)}).one_or_none()
    if row is None:
        raise ChannelNotFoundError(f"There is no channel {channel_id}.")
    return ChannelState(row.first, row.last, row.closed)
