"""A transaction of the writer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import closing
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    Connection,
    CursorResult,
    Insert,
    bindparam,
    delete,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from ...errors import ChannelConflictError, ChannelNotFoundError, LeaseLostError, StorageError
from .appending import Extension, Row, append_postgresql, append_sqlite, notify
from .cipher import Cipher
from .tables import batches, build_queue, channels, leases, to_text

__all__ = ["NO_LEASE", "OWNERS", "QUEUE", "Batch", "Session", "lost"]

_T = TypeVar("_T")

NO_LEASE = "~"
"""Before the name of a replica: what channels without a lease belong to. They end with it."""

OWNERS = "~owners"
"""What stands for a lease in notices if leases can be taken."""

QUEUE = "~builds"
"""What stands for a lease in notices if the queue of builds has changed."""

_ROW = 64 * 1024
"""Bytes after which events are stored in another row. Viewers read a few rows at once."""

_FENCE = (
    select(channels.c.fence)
    .outerjoin(leases, leases.c.name == channels.c.lease)
    .where(
        channels.c.id == bindparam("channel"),
        # Not one that was given to this replica: it has to be taken first.
        (channels.c.lease == bindparam("own"))
        | ((leases.c.owner == bindparam("replica")) & ~leases.c.given),
    )
)
_STATE = (
    select(channels.c.last, channels.c.closed, channels.c.lease, leases.c.owner, leases.c.given)
    .outerjoin(leases, leases.c.name == channels.c.lease)
    .where(channels.c.id == bindparam("channel"))
)


class Batch(msgspec.Struct):
    """Events to be stored in a channel.

    Attributes
    ----------
    channel : str
    first : int
        Number of the first event.
    blocks : list of bytes
        The events, as they are sent.
    """

    channel: str
    first: int
    blocks: list[bytes]

    @property
    def last(self) -> int:
        """Number of the last event."""
        return self.first + len(self.blocks) - 1


class Session:
    """A transaction of the writer, and what the requests in it have changed.

    Parameters
    ----------
    connection : Connection
        In a transaction.
    replica : str
        The name of this process.
    cipher : Cipher
    fences : mutable mapping
        Fencing numbers by channel, as this replica has them. They are kept between transactions:
        a number that is out of date is refused by the database.
    doubts : mapping
        Requests, by type and subject, of which nobody knows whether they were committed: the
        connection was lost meanwhile. They may be requested again.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        replica: str,
        cipher: Cipher,
        fences: MutableMapping[str, int],
        doubts: Mapping[tuple[type[Any], str], Any],
    ) -> None:
        self.connection = connection
        self.replica = replica
        self.cipher = cipher
        self.fences = fences
        self._doubts = doubts
        self.settled: list[tuple[type[Any], str]] = []
        """Requests that were in doubt."""
        self.channels: dict[str, tuple[int, bool]] = {}
        """The last number of each changed channel, and whether it is closed."""
        self.leases: set[str] = set()
        """The names of changed leases."""
        self.freed = False
        """Whether something was deleted, so that its space may be given back."""

    @property
    def is_postgresql(self) -> bool:
        """Whether other processes may use the database at the same time."""
        return self.connection.dialect.name == "postgresql"

    @property
    def own_lease(self) -> str:
        """What channels belong to that were created without a lease."""
        return NO_LEASE + self.replica

    def execute(self, statement: Any, **values: Any) -> CursorResult[Any]:
        """Execute a statement."""
        return self.connection.execute(statement, values)

    def insert_new(self, table: Any) -> Insert:
        """Return an INSERT that does nothing if the row exists. It waits for other replicas."""
        if self.is_postgresql:
            new: Insert = postgresql.insert(table).on_conflict_do_nothing()
        else:
            new = sqlite.insert(table).on_conflict_do_nothing()
        return new.execution_options(preserve_rowcount=True)

    def in_doubt(self, kind: type[_T], subject: str) -> _T | None:
        """Return an earlier request of this replica that may have been committed."""
        request: _T | None = self._doubts.get((kind, subject))
        if request is not None:
            self.settled.append((kind, subject))
        return request

    def lock(self, names: Iterable[str]) -> None:
        """Lock leases in the order of their names, which is the same in all replicas.

        Otherwise, two replicas that change the same leases could wait for each other.
        """
        if not self.is_postgresql:
            return
        wanted = {to_text(name) for name in names}
        if len(wanted) > 1:
            found = select(leases.c.number).where(leases.c.name.in_(wanted))
            self.connection.execute(found.order_by(leases.c.name).with_for_update())

    # -- channels

    def append(self, added: Sequence[Batch]) -> bool:
        """Store events of different channels. Return whether all were stored."""
        extensions: list[Extension] = []
        prepared: list[Row] = []
        # In the same order in all transactions, so that replicas do not wait for each other.
        for batch in sorted(added, key=attrgetter("channel")):
            fence = self.fence_of(batch.channel)
            if fence is None:
                return False
            name, size = to_text(batch.channel), sum(map(len, batch.blocks))
            extensions.append(Extension(name, batch.first - 1, batch.last, fence, size))
            prepared += self._rows(batch, name)
        append = append_postgresql if self.is_postgresql else append_sqlite
        with closing(self.connection.connection.cursor()) as cursor:
            if not append(cursor, extensions, prepared):
                return False
        self.channels.update((batch.channel, (batch.last, False)) for batch in added)
        return True

    def _rows(self, batch: Batch, name: str) -> Iterator[Row]:
        last = batch.first - 1
        for blocks in _pieces(batch.blocks):
            first, last, data = last + 1, last + len(blocks), b"".join(blocks)
            sealed = self.cipher.seals(data)
            yield Row(name, last, first, sealed, self.cipher.seal(data) if sealed else data)

    def fence_of(self, channel_id: str) -> int | None:
        """Return the fencing number of a channel; None if this replica may not write to it."""
        fence = self.fences.get(channel_id)
        if fence is None:
            values = {
                "channel": to_text(channel_id),
                "replica": self.replica,
                "own": self.own_lease,
            }
            fence = self.connection.scalar(_FENCE, values)
            if fence is not None:
                self.fences[channel_id] = fence
        return fence

    def last_of(self, channel_id: str) -> int | None:
        """Return the number of a channel's last event; None if this replica may not write to it."""
        self.fences.pop(channel_id, None)
        if self.fence_of(channel_id) is None:
            return None
        last = select(channels.c.last).where(channels.c.id == to_text(channel_id))
        return self.connection.scalar(last)

    def refusal(self, channel_id: str, expected: int | None = None) -> StorageError:
        """Return why a channel could not be changed."""
        self.fences.pop(channel_id, None)
        state = self.execute(_STATE, channel=to_text(channel_id)).one_or_none()
        if state is None:
            return ChannelNotFoundError(f"There is no channel {channel_id}.")
        if (self.replica != state.owner or state.given) and self.own_lease != state.lease:
            return LeaseLostError(f"Another replica writes to the channel {channel_id} now.")
        if state.closed:
            return ChannelConflictError(f"The channel {channel_id} is closed.")
        return ChannelConflictError(
            f"The last event of the channel {channel_id} is {state.last}, not {expected}."
        )

    def delete_channels(self, ids: Iterable[str]) -> None:
        """Delete channels and their events. The names are as in the tables."""
        for channel_id in ids:
            self.connection.execute(delete(channels).where(channels.c.id == channel_id))
            self.connection.execute(delete(batches).where(batches.c.channel == channel_id))
            self.freed = True

    # -- the queue of builds

    def leave_queue(self, lease: str) -> None:
        """Remove a build from the queue. The name is as in the tables."""
        if self.connection.execute(
            delete(build_queue).where(build_queue.c.lease == lease)
        ).rowcount:
            self.leases.add(QUEUE)

    # -- other replicas

    def notify(self, topic: str, payloads: Sequence[str]) -> None:
        """Tell other replicas when the transaction is committed."""
        with closing(self.connection.connection.cursor()) as cursor:
            notify(cursor, topic, payloads)


def lost(name: str) -> LeaseLostError:
    """Return what to raise if this replica does not own a lease."""
    return LeaseLostError(f"{name} is run by another replica now, or has ended.")


def _pieces(blocks: list[bytes]) -> Iterator[list[bytes]]:
    """Split events into rows."""
    if len(blocks) == 1:
        yield blocks
        return
    start = size = 0
    for number, block in enumerate(blocks):
        if size and size + len(block) > _ROW:
            yield blocks[start:number]
            start, size = number, 0
        size += len(block)
    yield blocks[start:]
