"""Deletes what has expired, and what exceeds the disk budget, in small transactions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, delete, func, select

from ..._memory import give_back
from ...errors import StorageError
from .ownership import alive, delete_lease
from .session import NO_LEASE, Session
from .tables import Now, channels, leases, rates, replicas

__all__ = ["keep_tidy"]

_TIDY = 60.0
"""Seconds after which expired launches are looked for."""

_BYTES = 4 * 1024 * 1024
_COUNT = 50
"""What is deleted in one transaction, about."""

_KEEP_REPLICAS = 86_400.0
"""Seconds that the names of replicas are kept after they are gone."""

# Key of an advisory lock of PostgreSQL: an arbitrary number.
_LOCK = 7_263_541_909


class Tidied(msgspec.Struct, frozen=True):
    """What was deleted.

    Attributes
    ----------
    channels : list of str
    more : bool
        Whether there may be more to delete.
    exceeded : int
        Bytes over the budget that cannot be deleted, because their launches run.
    """

    channels: list[str] = []
    more: bool = False
    exceeded: int = 0


class Tidy(msgspec.Struct):
    """Deletes some of what nobody needs.

    Attributes
    ----------
    budget : int
        Bytes of events that are kept, in all.
    """

    budget: int

    @property
    def subject(self) -> str:
        """Nothing."""
        return ""

    @property
    def locks(self) -> Sequence[str]:
        """None: nobody changes leases that have expired."""
        return ()

    def run(self, session: Session) -> Tidied:
        """Do it; see `requests.Request.run`."""
        lock = select(func.pg_try_advisory_xact_lock(_LOCK))
        if session.is_postgresql and not session.connection.scalar(lock):
            return Tidied()  # another replica does it
        session.freed = True  # there may be more than was given back at once
        self._forget_replicas(session)
        expired = leases.c.expires <= Now()
        if found := self._delete(session, _BYTES, expired):
            return Tidied(found, more=True)
        total = session.connection.scalar(select(func.coalesce(func.sum(channels.c.size), 0)))
        exceeded = int(total or 0) - self.budget
        if exceeded <= 0:
            return Tidied()
        found = self._delete(session, min(exceeded, _BYTES), leases.c.ended.is_not(None))
        return Tidied(found, more=bool(found), exceeded=0 if found else exceeded)

    def _delete(self, session: Session, wanted: int, condition: ColumnElement[bool]) -> list[str]:
        """Delete leases, those that expire first, until enough is freed."""
        size = (
            select(func.coalesce(func.sum(channels.c.size), 0))
            .where(channels.c.lease == leases.c.name)
            .scalar_subquery()
        )
        ended = leases.c.ended.is_not(None)
        first = (
            select(leases.c.name, size.label("bytes"))
            .where(ended, condition)
            .order_by(leases.c.expires)
            .limit(_COUNT)
        )
        deleted: list[str] = []
        for row in session.connection.execute(first).all():
            deleted += delete_lease(session, row.name)
            wanted -= int(row.bytes)
            if wanted <= 0:
                break
        return deleted

    def _forget_replicas(self, session: Session) -> None:
        # Channels without a lease end with their replica.
        gone = select(channels.c.id).where(
            channels.c.lease.startswith(NO_LEASE, autoescape=True),
            ~alive(func.substr(channels.c.lease, len(NO_LEASE) + 1)),
        )
        session.delete_channels(list(session.connection.scalars(gone.limit(_COUNT))))
        old = replicas.c.until < Now() - _KEEP_REPLICAS
        session.connection.execute(delete(replicas).where(old))
        session.connection.execute(delete(rates).where(rates.c.until <= Now()))


async def keep_tidy(
    submit: Callable[..., Awaitable[Any]],
    *,
    budget: int,
    wanted: asyncio.Event,
    deleted: Callable[[list[str]], None],
    log: logging.Logger | logging.LoggerAdapter[Any],
) -> None:
    """Delete what has expired, and what is too much, until it is cancelled.

    Memory that launches took is then given back to the system, too.

    Parameters
    ----------
    submit : callable
        See `writer.Writer.submit`.
    budget : int
        Bytes of events that are kept, in all.
    wanted : asyncio.Event
        Set if there may be something to delete now.
    deleted : callable
        Called with the channels that were deleted.
    log : logging.Logger
    """
    while True:
        # Before: what is wanted meanwhile may come too late for this one.
        wanted.clear()
        try:
            tidied: Tidied = await submit(Tidy(budget), alone=True)
        except StorageError:
            tidied = Tidied()  # the writer has logged it
        deleted(tidied.channels)
        if tidied.channels:
            # In a thread: others may run meanwhile.
            await asyncio.to_thread(give_back)
        if tidied.exceeded:
            log.warning(
                "The events of running launches exceed c.Storage.disk_budget by %d MB.",
                tidied.exceeded // 10**6,
            )
        if not tidied.more:
            try:
                async with asyncio.timeout(_TIDY):
                    await wanted.wait()
            except TimeoutError:
                continue
