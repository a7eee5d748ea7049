"""The queue of builds, which all replicas share; see `build_tickets.BuildTickets`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, func, insert, select, update

from ...core import build_queue as core
from ...core.build_queue import Ticket
from .lease_watchers import LeaseWatchers
from .limits import Refusal, keep_trying
from .ownership import OfLease, hash_of
from .reader import Reader
from .session import QUEUE, Session, lost
from .tables import Now, build_queue, from_text, leases, to_text
from .writer import Writer

__all__ = ["BuildTickets"]

# Key of an advisory lock of PostgreSQL: an arbitrary number.
_LOCK = 7_263_541_911

_TRY = select(func.pg_try_advisory_xact_lock(_LOCK))

_ALL = select(build_queue, (Now() - build_queue.c.began).label("running"))


class BuildTickets:
    """Keeps the tickets of builds; see `build_tickets.BuildTickets`.

    Parameters
    ----------
    writer : callable
        Returns the writer, which there is when the store is open.
    reader : Reader
    watchers : LeaseWatchers
    timeout : float
        Seconds to wait for other replicas.
    """

    def __init__(
        self,
        writer: Callable[[], Writer],
        reader: Reader,
        watchers: LeaseWatchers,
        timeout: float,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._watchers = watchers
        self._timeout = timeout

    async def take_turn(self, name: str, *, owner: str, seconds: float, most: int) -> bool:
        """Let a build begin if it may; see `build_tickets.BuildTickets.take_turn`."""
        request = TakeTurn(name, hash_of(f"owner {owner}") or "", seconds, most)
        done: bool = await keep_trying(
            lambda: self._writer().submit(request), patience=self._timeout
        )
        return done

    async def join(self, name: str, *, owner: str) -> None:
        """Let a build have the turns of one more owner; see `build_tickets.BuildTickets.join`."""
        request = Join(name, hash_of(f"owner {owner}") or "")
        await keep_trying(lambda: self._writer().submit(request), patience=self._timeout)

    async def tickets(self) -> Sequence[Ticket]:
        """Return all tickets; see `build_tickets.BuildTickets.tickets`."""
        return await self._reader.run(_tickets)

    def watch(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have a listener called after changes; see `build_tickets.BuildTickets.watch`."""
        return self._watchers.watch(QUEUE, listener)


class TakeTurn(OfLease):
    """Lets a build begin, or wait."""

    owner: str
    seconds: float
    most: int

    def run(self, session: Session) -> bool | Refusal:
        """Do it; see `Request.run`. Return whether it begins."""
        if not _lock(session):
            return Refusal()
        mine = leases.c.name == to_text(self.name), leases.c.owner == session.replica
        running = select(leases.c.number).where(*mine, leases.c.ended.is_(None))
        if session.connection.scalar(running) is None:
            raise lost(self.name)
        # Statements of their own, because they see what was committed before they began.
        tickets = _tickets(session.connection)
        own = [ticket for ticket in tickets if ticket.build == self.name]
        if any(ticket.running is not None for ticket in own):
            return True
        if not own:
            _add(session, tickets, self.name, self.owner, self.seconds)
            tickets = _tickets(session.connection)
        changed = core.begin(tickets, self.name, self.most)
        for ticket in changed:
            began = None if ticket.running is None else Now()
            new = {"turn": ticket.turn, "began": began}
            this = build_queue.c.number == ticket.number
            session.connection.execute(update(build_queue).where(this).values(**new))
        if changed or not own:
            session.leases.add(QUEUE)
        return bool(changed)


class Join(OfLease):
    """Gives a build that waits a ticket of one more owner."""

    owner: str

    def run(self, session: Session) -> Refusal | None:
        """Do it; see `Request.run`."""
        if not _lock(session):
            return Refusal()
        tickets = _tickets(session.connection)
        own = [ticket for ticket in tickets if ticket.build == self.name]
        waits = own and all(ticket.running is None for ticket in own)
        if waits and all(ticket.owner != self.owner for ticket in own):
            _add(session, tickets, self.name, self.owner, own[0].seconds)
            session.leases.add(QUEUE)
        return None


def _lock(session: Session) -> bool:
    """Keep other replicas from changing the queue until the end of the transaction."""
    # Not waited for: a replica that is paused with this lock would stop the events of all others.
    return not session.is_postgresql or bool(session.connection.scalar(_TRY))


def _add(
    session: Session, tickets: Sequence[Ticket], name: str, owner: str, seconds: float
) -> None:
    ticket = core.next_ticket(tickets, build=name, owner=owner, seconds=seconds)
    session.connection.execute(
        insert(build_queue).values(
            lease=to_text(name), owner=owner, turn=ticket.turn, seconds=seconds
        )
    )


def _tickets(connection: Connection) -> list[Ticket]:
    return [
        Ticket(
            build=from_text(row.lease),
            owner=row.owner,
            number=row.number,
            turn=row.turn,
            seconds=row.seconds,
            running=None if row.began is None else max(row.running, 0.0),
        )
        for row in connection.execute(_ALL)
    ]
