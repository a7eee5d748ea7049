"""Keeps logs of builds in PostgreSQL, compressed and in parts."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Table,
    delete,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from ..shared_logs import KeptLog
from .ownership import hash_of
from .reader import Reader
from .tables import build_log_parts, build_logs

__all__ = ["Logs"]

_COUNT = 50
"""Logs that are deleted at once."""


class Logs:
    """Keeps logs of builds in PostgreSQL; see `shared_logs.SharedLogs`.

    Each part is written with what is known of the log in one statement, which is a transaction. A
    log is found when its last part is there.

    Parameters
    ----------
    reader : Reader
        Has threads and connections.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def put(self, log: KeptLog, parts: Iterable[bytes], *, key: str) -> None:
        """Keep a log; see `shared_logs.SharedLogs.put`."""
        pieces, number = iter(parts), 0
        values = {
            "build": log.build,
            "key_hash": hash_of(key),
            "ended": log.ended,
            "size": log.size,
            "times": b"",
            "parts": None,
        }
        data = await asyncio.to_thread(_next, pieces)
        # One after the other: the threads of the database are for others, too.
        while data:
            following = await asyncio.to_thread(_next, pieces)
            if not following:
                values |= {"parts": number + 1, "times": zlib.compress(log.times)}
            part = _upsert(build_log_parts, {"build": log.build, "number": number, "data": data})
            statement = _upsert(build_logs, values).add_cte(part.cte("part"))
            await self._reader.run(partial(_execute, statement))
            data, number = following, number + 1

    async def find(self, build: str) -> KeptLog | None:
        """Return what is known of a log; see `shared_logs.SharedLogs.find`."""
        return await self._one(build_logs.c.build == build)

    async def part(self, build: str, number: int) -> bytes | None:
        """Return a part of a log; see `shared_logs.SharedLogs.part`."""
        query = select(build_log_parts.c.data).where(
            build_log_parts.c.build == build, build_log_parts.c.number == number
        )
        data = await self._reader.run(lambda connection: connection.scalar(query))
        return None if data is None else await asyncio.to_thread(zlib.decompress, data)

    async def newest(self, key: str) -> KeptLog | None:
        """Return the log of the newest build; see `shared_logs.SharedLogs.newest`."""
        return await self._one(build_logs.c.key_hash == hash_of(key)) if key else None

    async def tidy(self, *, until: float, budget: int) -> None:
        """Delete old logs; see `shared_logs.SharedLogs.tidy`."""
        newer = func.sum(build_logs.c.size).over(order_by=build_logs.c.ended.desc()).label("newer")
        sizes = select(build_logs.c.build, build_logs.c.ended, newer).subquery()
        query = (
            select(sizes.c.build)
            .where(or_(sizes.c.ended < until, sizes.c.newer > budget))
            .order_by(sizes.c.ended)
            .limit(_COUNT)
        )

        def delete_some(connection: Connection) -> int:
            builds = list(connection.scalars(query))
            # In this order: what is found may miss parts, but no part is left over.
            for table in (build_log_parts, build_logs):
                connection.execute(delete(table).where(table.c.build.in_(builds)))
            return len(builds)

        while await self._reader.run(delete_some) == _COUNT:
            pass

    async def _one(self, condition: ColumnElement[bool]) -> KeptLog | None:
        query = (
            select(build_logs)
            .where(condition, build_logs.c.parts.is_not(None))
            .order_by(build_logs.c.ended.desc())
            .limit(1)
        )
        row = await self._reader.run(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else _log_of(row)


def _execute(statement: Insert, connection: Connection) -> None:
    connection.execute(statement)


def _upsert(table: Table, values: dict[str, Any]) -> Insert:
    new = insert(table).values(values)
    keys = [column.name for column in table.primary_key]
    others = {name: value for name, value in values.items() if name not in keys}
    return new.on_conflict_do_update(index_elements=keys, set_=others)


def _next(pieces: Iterator[bytes]) -> bytes:
    """Return the next piece, compressed; nothing at the end."""
    piece = next(pieces, b"")
    return zlib.compress(piece) if piece else b""


def _log_of(row: Row[Any]) -> KeptLog:
    return KeptLog(
        build=row.build,
        ended=row.ended,
        size=row.size,
        parts=row.parts,
        times=zlib.decompress(row.times),
    )
