"""What the writer can be asked to change of leases and replicas; see `requests`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, Select, bindparam, delete, exists, insert, null, select, update

from ...errors import LeaseLostError, LeaseTakenError
from ..durable import ChannelState, Lease, LeaseLimit
from .cipher import Cipher
from .limits import Refusal, refusal_of
from .session import NO_LEASE, OWNERS, Session, lost
from .tables import Now, channels, from_text, leases, replicas, to_text

__all__ = [
    "ONE",
    "Ask",
    "Claim",
    "CreateLease",
    "Drop",
    "End",
    "Give",
    "Join",
    "Leave",
    "OfLease",
    "Renew",
    "Revive",
    "Seen",
    "Take",
    "Taken",
    "alive",
    "delete_lease",
    "hash_of",
    "lease_of",
]


def alive(owner: Any) -> Any:
    """Return the condition that a replica is alive."""
    return exists().where(replicas.c.name == owner, replicas.c.until > Now())


def hash_of(key: str) -> str | None:
    """Return what is unique for a key; None if there is none."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest() if key else None


ONE = select(leases, (Now() - leases.c.seen).label("unseen"))
"""Selects what `lease_of` needs."""


def lease_of(row: Row[Any], cipher: Cipher) -> Lease:
    """Return a row of `ONE` as a lease."""
    return Lease(
        name=from_text(row.name),
        state=cipher.unseal(row.state),
        owner=row.owner,
        fence=row.fence,
        # It is free once the lease has ended.
        key=from_text(row.key) if row.key_hash is not None else "",
        user=from_text(row.user),
        ended=row.ended is not None,
        asked=row.asked,
        unseen=math.inf if row.unseen is None else max(row.unseen, 0.0),
    )


class OfLease(msgspec.Struct):
    """A request about one lease."""

    name: str

    @property
    def subject(self) -> str:
        """The name of the lease."""
        return self.name

    @property
    def locks(self) -> Sequence[str]:
        """The lease."""
        return (self.name,)


class _OfReplica(msgspec.Struct):
    @property
    def subject(self) -> str:
        """Nothing."""
        return ""

    @property
    def locks(self) -> Sequence[str]:
        """None."""
        return ()


class CreateLease(OfLease):
    """Creates a lease, owned by this replica."""

    state: bytes
    key: str
    user: str
    client: str
    limits: Sequence[LeaseLimit]

    def run(self, session: Session) -> Refusal | None:
        """Do it; see `Request.run`. Return why not, if a limit does not allow it now."""
        if self.limits and (refusal := refusal_of(session, self.limits)) is not None:
            return refusal
        insert_new = session.insert_new(leases).values(created=Now())
        done = session.execute(
            insert_new,
            name=to_text(self.name),
            key=to_text(self.key),
            key_hash=hash_of(self.key),
            owner=session.replica,
            fence=1,
            user=to_text(self.user),
            client=to_text(self.client),
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
        return None


_MINE = (
    leases.c.name == bindparam("lease"),
    leases.c.owner == bindparam("replica"),
    # Not one that was given to this replica: it has to be taken first.
    ~leases.c.given,
)
_RENEW = update(leases).where(*_MINE, leases.c.ended.is_(None)).values(state=bindparam("new"))
_END = (
    update(leases)
    .where(*_MINE)
    .values(
        state=bindparam("new"),
        key_hash=null(),
        client="",
        ended=Now(),
        expires=bindparam("when"),
    )
)


class Renew(OfLease):
    """Replaces the state of a lease."""

    state: bytes

    def run(self, session: Session) -> None:
        """Do it; see `Request.run`."""
        values = {"lease": to_text(self.name), "replica": session.replica}
        new = session.cipher.seal(self.state)
        if not session.execute(_RENEW, **values, new=new).rowcount:
            raise lost(self.name)
        session.leases.add(self.name)


class End(OfLease):
    """Ends a lease."""

    state: bytes
    expires: float

    def run(self, session: Session) -> None:
        """Do it; see `Request.run`."""
        values = {"lease": to_text(self.name), "replica": session.replica}
        new = session.cipher.seal(self.state)
        if not session.execute(_END, **values, new=new, when=self.expires).rowcount:
            raise lost(self.name)
        session.leave_queue(to_text(self.name))
        session.leases.add(self.name)


_CLAIM_KEPT = 3600.0
"""Seconds for which it is known who has claimed a lease. A lost connection is back by then."""

_CLAIM = (
    update(leases)
    .where(leases.c.name == bindparam("lease"))
    .values(
        key_hash=null(),
        client="",
        asked=bindparam("by"),
        ended=Now(),
        expires=Now() + _CLAIM_KEPT,
    )
)


class Claim(OfLease):
    """Ends a lease of any owner, for another lease."""

    to: str
    state: bytes

    @property
    def locks(self) -> Sequence[str]:
        """Both leases."""
        return (self.name, self.to)

    def run(self, session: Session) -> bool:
        """Do it; see `Request.run`. Return whether no other has claimed it."""
        lease, by = to_text(self.name), to_text(self.to)
        found = select(leases.c.ended, leases.c.asked).where(leases.c.name == lease)
        row = session.execute(found.with_for_update()).one_or_none()
        if row is None:
            return False
        if row.ended is not None and (
            row.asked != by or session.in_doubt(Claim, self.name) is None
        ):
            return False
        # First: if this raises, nothing is changed.
        Renew(self.to, self.state).run(session)
        session.execute(_CLAIM, lease=lease, by=by)
        session.leases.add(self.name)
        return True


class Drop(OfLease):
    """Deletes a lease and its channels."""

    def run(self, session: Session) -> list[str]:
        """Do it; see `Request.run`. Return the channels that were deleted."""
        lease = to_text(self.name)
        mine = leases.c.name == lease, leases.c.owner == session.replica
        found = select(leases.c.number).where(*mine).with_for_update()
        return [] if session.connection.scalar(found) is None else delete_lease(session, lease)


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
    session.leave_queue(lease)
    session.leases.add(from_text(lease))
    names = [from_text(channel_id) for channel_id in ids]
    for name in names:
        session.fences.pop(name, None)
    return names


class Taken(msgspec.Struct):
    """What `Take` and `Revive` return."""

    lease: Lease
    channels: dict[str, ChannelState]


class Take(OfLease):
    """Takes an abandoned lease, with its channels."""

    def run(self, session: Session) -> Taken:
        """Do it; see `Request.run`."""
        lease = to_text(self.name)
        this = leases.c.name == lease
        # Locked, so that what follows sees who owns it now.
        row = session.execute(ONE.where(this).with_for_update()).one_or_none()
        if row is None or row.ended is not None:
            raise lost(self.name)
        if row.owner == session.replica:
            may = row.given or session.in_doubt(Take, self.name) is not None
        else:
            may = not session.connection.scalar(select(alive(row.owner)))
        if not may:
            raise lost(self.name)
        return _take(session, row)


class Revive(OfLease):
    """Takes a lease that has ended, with its channels."""

    def run(self, session: Session) -> Taken:
        """Do it; see `Request.run`."""
        found = ONE.where(leases.c.name == to_text(self.name)).with_for_update()
        row = session.execute(found).one_or_none()
        if row is None:
            raise lost(self.name)
        if row.ended is None:
            is_mine = row.owner == session.replica
            if not (is_mine and session.in_doubt(Revive, self.name) is not None):
                raise LeaseLostError(f"{self.name} has not ended.")
        return _take(session, row)


def _take(session: Session, row: Row[Any]) -> Taken:
    """Make this replica the owner of a lease that goes on. The row is locked."""
    # Before anything is changed: it may have been encrypted with another key.
    lease = msgspec.structs.replace(
        lease_of(row, session.cipher), owner=session.replica, fence=row.fence + 1, ended=False
    )
    new = {
        "owner": session.replica,
        "fence": lease.fence,
        "given": False,
        "ended": None,
        "expires": None,
    }
    session.connection.execute(update(leases).where(leases.c.name == row.name).values(**new))
    _fence(session, row.name, lease.fence)
    states = {}
    of_it = channels.c.lease == row.name
    for state in session.connection.execute(select(channels).where(of_it)):
        name = from_text(state.id)
        states[name] = ChannelState(state.first, state.last, state.closed)
        if not state.closed:
            session.fences[name] = lease.fence
    session.leases.add(lease.name)
    return Taken(lease, states)


def _fence(session: Session, lease: str, fence: int) -> None:
    """Keep everyone without this fencing number from the channels of a lease."""
    of_it = channels.c.lease == lease
    if session.is_postgresql:
        # In the order in which the former owner locks them, should it wake up now.
        locked: Select[Any] = select(channels.c.id).where(of_it).order_by(channels.c.id)
        session.connection.execute(locked.with_for_update())
    session.connection.execute(update(channels).where(of_it).values(fence=fence))


class Give(OfLease):
    """Gives a lease to another replica."""

    replica: str

    def run(self, session: Session) -> list[str]:
        """Do it; see `Request.run`. Return the channels that this replica has no more."""
        lease = to_text(self.name)
        this = leases.c.name == lease
        found = select(leases.c.owner, leases.c.fence, leases.c.ended).where(this)
        row = session.execute(found.with_for_update()).one_or_none()
        if row is None or row.ended is not None:
            raise lost(self.name)
        if row.owner == session.replica:
            # This one is, although it may have been silent for too long.
            is_here = self.replica == session.replica
            if not is_here and not session.connection.scalar(select(alive(self.replica))):
                raise LeaseLostError("The other replica is gone.")
            new = {"owner": self.replica, "fence": row.fence + 1, "given": True}
            session.connection.execute(update(leases).where(this).values(**new))
            _fence(session, lease, row.fence + 1)
        elif session.in_doubt(Give, self.name) is None:
            raise lost(self.name)
        session.leases.update((self.name, OWNERS))
        found = select(channels.c.id).where(channels.c.lease == lease)
        names = [from_text(name) for name in session.connection.scalars(found)]
        for name in names:
            session.fences.pop(name, None)
        return names


class Ask(OfLease):
    """Asks the owner of a lease for something."""

    what: str

    def run(self, session: Session) -> None:
        """Do it; see `Request.run`."""
        this = leases.c.name == to_text(self.name), leases.c.ended.is_(None)
        asked = update(leases).where(*this).values(asked=self.what)
        if not session.execute(asked).rowcount:
            raise LeaseLostError(f"{self.name} has ended.")
        session.leases.add(self.name)


class Seen(msgspec.Struct):
    """Notes that leases have viewers."""

    names: Sequence[str]

    @property
    def subject(self) -> str:
        """Nothing: it is never in doubt."""
        return ""

    @property
    def locks(self) -> Sequence[str]:
        """All of them."""
        return self.names

    def run(self, session: Session) -> None:
        """Do it; see `Request.run`."""
        for name in map(to_text, self.names):
            session.connection.execute(
                update(leases).where(leases.c.name == name).values(seen=Now())
            )


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
        session.leases.update([OWNERS, *map(from_text, session.connection.scalars(mine))])
        session.connection.execute(delete(replicas).where(replicas.c.name == session.replica))
        left = select(channels.c.id).where(channels.c.lease == session.own_lease)
        session.delete_channels(list(session.connection.scalars(left)))
