"""What the writer can be asked to change. Each request is done as a whole, or raises before."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from sqlalchemy import Row, Select, bindparam, delete, exists, insert, null, select, update

from ...core.events import Encoded
from ...errors import ChannelConflictError, LeaseLostError, LeaseTakenError
from ..durable import ChannelState, Lease
from .cipher import Cipher
from .session import NO_LEASE, Batch, Session
from .tables import Now, channels, from_text, leases, replicas, to_text

__all__ = [
    "Append",
    "Close",
    "Create",
    "CreateLease",
    "Discard",
    "Drop",
    "End",
    "Leave",
    "Renew",
    "Request",
    "Take",
    "alive",
    "hash_of",
    "lease_of",
]


class Request(Protocol):
    """A change that is requested."""

    @property
    def subject(self) -> str:
        """The name of what is changed."""
        ...

    def run(self, session: Session) -> Any:
        """Do it.

        Raises
        ------
        StorageError
            If it cannot be done. Nothing was changed then.
        """
        ...


def alive(owner: Any) -> Any:
    """Return the condition that a replica is alive."""
    return exists().where(replicas.c.name == owner, replicas.c.until > Now())


def hash_of(key: str) -> str | None:
    """Return what is unique for a key; None if there is none."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest() if key else None


def lease_of(row: Row[Any], cipher: Cipher) -> Lease:
    """Return a row as a lease."""
    return Lease(
        name=from_text(row.name),
        state=cipher.unseal(row.state),
        owner=row.owner,
        fence=row.fence,
        key=from_text(row.key) if row.ended is None else "",
        user=from_text(row.user),
        ended=row.ended is not None,
    )


def _lost(name: str) -> LeaseLostError:
    return LeaseLostError(f"{name} is run by another replica now, or has ended.")


class _OfChannel(msgspec.Struct):
    channel: str

    @property
    def subject(self) -> str:
        """The channel."""
        return self.channel


class _OfLease(msgspec.Struct):
    name: str

    @property
    def subject(self) -> str:
        """The name of the lease."""
        return self.name


class _OfReplica(msgspec.Struct):
    @property
    def subject(self) -> str:
        """Nothing."""
        return ""


# -- channels


class Create(_OfChannel):
    """Creates a channel."""

    first: int
    lease: str

    def run(self, session: Session) -> None:
        """Do it; see `Request.run`."""
        fence = 0
        if self.lease:
            # Locked, because `take` must find all channels.
            mine = select(leases.c.fence).where(
                leases.c.name == to_text(self.lease), leases.c.owner == session.replica
            )
            found = session.connection.scalar(mine.with_for_update())
            if found is None:
                raise _lost(self.lease)
            fence = found
        done = session.execute(
            session.insert_new(channels),
            id=to_text(self.channel),
            lease=to_text(self.lease) or session.own_lease,
            first=self.first,
            last=self.first - 1,
            closed=False,
            fence=fence,
            size=0,
        )
        if not done.rowcount and not (
            session.in_doubt(Create, self.channel)
            and session.last_of(self.channel) == self.first - 1
        ):
            raise ChannelConflictError(f"The channel {self.channel} exists already.")
        session.fences[self.channel] = fence
        session.channels[self.channel] = (self.first - 1, False)


class Append(_OfChannel):
    """Appends events to a channel. The writer does many of these at once."""

    events: Sequence[Encoded]
    expected: int

    @property
    def size(self) -> int:
        """Bytes of the events."""
        return sum([len(each.sse) for each in self.events])

    def batch(self) -> Batch:
        """Return the events as a row."""
        data = b"".join([each.sse for each in self.events])
        return Batch(self.channel, self.expected + 1, self.expected + len(self.events), data)

    def join(self, batches: dict[str, Batch]) -> bool:
        """Add the events to those of a group. Return whether they fit what is there."""
        batch, before = self.batch(), batches.get(self.channel)
        if before is None:
            batches[self.channel] = batch
        elif before.last == self.expected:
            before.last, before.data = batch.last, before.data + batch.data
        else:
            return False
        return True

    def run(self, session: Session) -> None:
        """Do it; see `Request.run`."""
        batch = self.batch()
        if session.append([batch]) or self._resume(session, batch):
            return
        raise session.refusal(self.channel, self.expected)

    def _resume(self, session: Session, batch: Batch) -> bool:
        """Store what is missing, if the events or the first of them were stored in doubt."""
        request = session.in_doubt(Append, self.channel)
        if request is None:
            return False
        stored = request.batch()
        if (stored.first, stored.last) != (batch.first, session.last_of(self.channel)):
            return False
        if not batch.data.startswith(stored.data):
            return False
        session.channels[self.channel] = (stored.last, False)
        rest = batch.data[len(stored.data) :]
        return not rest or session.append([Batch(batch.channel, stored.last + 1, batch.last, rest)])


class Close(_OfChannel):
    """Closes a channel."""

    def run(self, session: Session) -> int:
        """Do it; see `Request.run`. Return the number of the last event."""
        fence = session.fence_of(self.channel)
        where = channels.c.id == to_text(self.channel), channels.c.fence == fence
        if (
            fence is None
            or not session.execute(update(channels).where(*where).values(closed=True)).rowcount
        ):
            raise session.refusal(self.channel)
        last = session.connection.scalar(select(channels.c.last).where(where[0])) or 0
        session.fences.pop(self.channel, None)
        session.channels[self.channel] = (last, True)
        return last


class Discard(_OfChannel):
    """Deletes a channel."""

    def run(self, session: Session) -> None:
        """Do it; see `Request.run`."""
        name = to_text(self.channel)
        found = select(channels.c.id).where(channels.c.id == name)
        if session.connection.scalar(found.with_for_update()) is None:
            return
        if session.fence_of(self.channel) is None:
            raise session.refusal(self.channel)
        session.fences.pop(self.channel, None)
        session.delete_channels([name])


# -- leases


class CreateLease(_OfLease):
    """Creates a lease, owned by this replica."""

    state: bytes
    key: str
    user: str

    def run(self, session: Session) -> None:
        """Do it; see `Request.run`."""
        insert_new = session.insert_new(leases).values(created=Now())
        done = session.execute(
            insert_new,
            name=to_text(self.name),
            key=to_text(self.key),
            key_hash=hash_of(self.key),
            owner=session.replica,
            fence=1,
            user=to_text(self.user),
            state=session.cipher.seal(self.state),
        )
        if not done.rowcount:
            if session.in_doubt(CreateLease, self.name) is None:
                raise LeaseTakenError(f"{self.name} has begun already.")
            try:
                Renew(self.name, self.state).run(session)
            except LeaseLostError as error:
                raise LeaseTakenError(str(error)) from error
        session.leases.add(self.name)


_MINE = (leases.c.name == bindparam("lease"), leases.c.owner == bindparam("replica"))
_RENEW = update(leases).where(*_MINE, leases.c.ended.is_(None)).values(state=bindparam("new"))
_END = (
    update(leases)
    .where(*_MINE)
    .values(
        state=bindparam("new"),
        key_hash=null(),
        ended=Now(),
        expires=bindparam("when"),
    )
)


class Renew(_OfLease):
    """Replaces the state of a lease."""

    state: bytes

    def run(self, session: Session) -> None:
        """Do it; see `Request.run`."""
        values = {"lease": to_text(self.name), "replica": session.replica}
        new = session.cipher.seal(self.state)
        if not session.execute(_RENEW, **values, new=new).rowcount:
            raise _lost(self.name)
        session.leases.add(self.name)


class End(_OfLease):
    """Ends a lease."""

    state: bytes
    expires: float

    def run(self, session: Session) -> None:
        """Do it; see `Request.run`."""
        values = {"lease": to_text(self.name), "replica": session.replica}
        new = session.cipher.seal(self.state)
        if not session.execute(_END, **values, new=new, when=self.expires).rowcount:
            raise _lost(self.name)
        session.leases.add(self.name)


class Drop(_OfLease):
    """Deletes a lease and its channels."""

    def run(self, session: Session) -> list[str]:
        """Do it; see `Request.run`. Return the channels that were deleted."""
        lease = to_text(self.name)
        may = (leases.c.owner == session.replica) | leases.c.ended.is_not(None)
        found = select(leases.c.owner, may.label("may")).where(leases.c.name == lease)
        row = session.execute(found.with_for_update()).one_or_none()
        return delete_lease(session, lease) if row is not None and row.may else []


def delete_lease(session: Session, lease: str) -> list[str]:
    """Delete a lease and its channels. The name is as in the tables.

    Returns
    -------
    list of str
        The channels that were deleted.
    """
    ids = list(session.connection.scalars(select(channels.c.id).where(channels.c.lease == lease)))
    session.connection.execute(delete(leases).where(leases.c.name == lease))
    session.delete_channels(ids)
    session.leases.add(from_text(lease))
    names = [from_text(channel_id) for channel_id in ids]
    for name in names:
        session.fences.pop(name, None)
    return names


class Taken(msgspec.Struct):
    """What `Take` returns."""

    lease: Lease
    channels: dict[str, ChannelState]


class Take(_OfLease):
    """Takes an abandoned lease, with its channels."""

    def run(self, session: Session) -> Taken:
        """Do it; see `Request.run`."""
        lease = to_text(self.name)
        this = leases.c.name == lease
        # Locked, so that what follows sees who owns it now.
        row = session.execute(select(leases).where(this).with_for_update()).one_or_none()
        if row is None or row.ended is not None:
            raise _lost(self.name)
        if session.connection.scalar(select(alive(row.owner))) and not (
            row.owner == session.replica and session.in_doubt(Take, self.name)
        ):
            raise _lost(self.name)
        # Before anything is changed: it may have been encrypted with another key.
        taken = msgspec.structs.replace(
            lease_of(row, session.cipher), owner=session.replica, fence=row.fence + 1
        )
        new = {"owner": session.replica, "fence": taken.fence}
        session.connection.execute(update(leases).where(this).values(**new))
        of_it = channels.c.lease == lease
        if session.is_postgresql:
            # In the order in which the former owner locks them, should it wake up now.
            locked: Select[Any] = select(channels.c.id).where(of_it).order_by(channels.c.id)
            session.connection.execute(locked.with_for_update())
        session.connection.execute(update(channels).where(of_it).values(fence=taken.fence))
        states = {}
        for state in session.connection.execute(select(channels).where(of_it)):
            name = from_text(state.id)
            states[name] = ChannelState(state.first, state.last, state.closed)
            if not state.closed:
                session.fences[name] = taken.fence
        session.leases.add(self.name)
        return Taken(taken, states)


# -- replicas


class Join(_OfReplica):
    """Makes this process a replica."""

    lasts: float
    alone: bool

    def run(self, session: Session) -> None:
        """Do it; see `Request.run`."""
        if self.alone:
            # Whoever has the lock of the file knows that all earlier ones are gone.
            session.connection.execute(delete(replicas))
            left = select(channels.c.id).where(channels.c.lease.startswith(NO_LEASE))
            session.delete_channels(list(session.connection.scalars(left)))
        until = Now() + self.lasts
        session.connection.execute(insert(replicas).values(name=session.replica, until=until))


class Leave(_OfReplica):
    """Ends being a replica: its leases are abandoned."""

    def run(self, session: Session) -> None:
        """Do it; see `Request.run`."""
        mine = select(leases.c.name).where(
            leases.c.owner == session.replica, leases.c.ended.is_(None)
        )
        session.leases.update(map(from_text, session.connection.scalars(mine)))
        session.connection.execute(delete(replicas).where(replicas.c.name == session.replica))
        left = select(channels.c.id).where(channels.c.lease == session.own_lease)
        session.delete_channels(list(session.connection.scalars(left)))
