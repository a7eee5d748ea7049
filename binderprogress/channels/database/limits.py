"""Limits of leases that have not ended, in all replicas."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Select, Text, bindparam, func, select

from ...errors import LeaseLimitError, StorageError
from ..durable import LeaseLimit
from .session import Session
from .tables import leases, to_text

__all__ = ["Refusal", "keep_trying", "refusal_of"]

_T = TypeVar("_T")

# Key of an advisory lock of PostgreSQL: an arbitrary number.
_LOCK = 7_263_541_910

_TRY = select(func.pg_try_advisory_xact_lock(_LOCK))

_PAUSE = 0.002, 0.02
"""Seconds after which something is requested again while another replica changes it."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a lease is not created.

    Attributes
    ----------
    number : int or None
        Which limit is reached. None: another replica creates a lease at this moment.
    count : int
        How many leases the limit counts.
    """

    number: int | None = None
    count: int = 0


def refusal_of(session: Session, limits: Sequence[LeaseLimit]) -> Refusal | None:
    """Check limits. Until the end of the transaction, no other replica can create such a lease."""
    # Not waited for: a replica that is paused with this lock would stop the events of all others.
    if not session.connection.scalar(_TRY):
        return Refusal()
    values: dict[str, str] = {}
    for number, limit in enumerate(limits):
        values[f"prefix{number}"] = to_text(limit.prefix)
        values[f"user{number}"] = to_text(limit.user)
        values[f"client{number}"] = to_text(limit.client)
    # A statement of its own, because it sees what was committed before it began.
    row = session.execute(_counts(len(limits)), **values).one()
    for number, (limit, count) in enumerate(zip(limits, row, strict=True)):
        if count >= limit.most:
            return Refusal(number, count)
    return None


@cache
def _counts(count: int) -> Select[Any]:
    """Return a query with the number of leases for each of `count` limits."""
    counts: list[ColumnElement[Any]] = [_count(number) for number in range(count)]
    return select(*counts).where(leases.c.ended.is_(None))


def _count(number: int) -> ColumnElement[int]:
    prefix, user, client = (
        bindparam(f"{name}{number}", type_=Text) for name in ("prefix", "user", "client")
    )
    return func.count().filter(
        func.starts_with(leases.c.name, prefix),
        (user == "") | (leases.c.user == user),
        (client == "") | (leases.c.client == client),
    )


async def keep_trying(request: Callable[[], Awaitable[_T | Refusal]], *, patience: float) -> _T:
    """Request something until no other replica changes the same at this moment.

    Parameters
    ----------
    request : callable
    patience : float
        Seconds.

    Raises
    ------
    LeaseLimitError
        If a limit is reached.
    StorageError
        If another replica is paused while it does so, for too long.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    while isinstance(refusal := await request(), Refusal):
        if refusal.number is not None:
            raise LeaseLimitError(number=refusal.number, count=refusal.count)
        if loop.time() >= until:
            raise StorageError("Another replica does not release a lock of the database.")
        # At random, so that two replicas do not meet again.
        await asyncio.sleep(random.uniform(*_PAUSE))  # noqa: S311 - not a secret
    return refusal
