"""Stores the events of many channels with few statements.

They are plain SQL, because SQLAlchemy takes as long for a row as everything else here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["Row", "append_postgresql", "append_sqlite", "notify"]

_UPDATE_SQLITE = (
    "UPDATE channels SET last = ?, size = size + ? "
    "WHERE id = ? AND last = ? AND NOT closed AND fence = ?"
)
_INSERT_SQLITE = 'INSERT INTO batches (channel, last, "first", sealed, data) VALUES (?, ?, ?, ?, ?)'

# One statement for all rows, whose columns are arrays.
_UPDATE_POSTGRESQL = """
UPDATE channels AS c SET last = r.last, size = c.size + r.size
FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
    AS r (id, expected, last, fence, size)
WHERE c.id = r.id AND c.last = r.expected AND NOT c.closed AND c.fence = r.fence
"""
_INSERT_POSTGRESQL = """
INSERT INTO batches (channel, last, "first", sealed, data)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bool[], %b::bytea[])
"""
_NOTIFY = "SELECT pg_notify(%s, %s)"


class Row(NamedTuple):
    """Events that become a row. Names are as in the tables."""

    channel: str
    expected: int
    last: int
    fence: int
    size: int
    sealed: bool
    data: bytes


def append_sqlite(cursor: Any, rows: Sequence[Row]) -> bool:
    """Store rows of different channels.

    Returns
    -------
    bool
        False if not all could be stored. The transaction must be rolled back then.
    """
    cursor.executemany(
        _UPDATE_SQLITE,
        [(row.last, row.size, row.channel, row.expected, row.fence) for row in rows],
    )
    if cursor.rowcount != len(rows):
        return False
    cursor.executemany(
        _INSERT_SQLITE,
        [(row.channel, row.last, row.expected + 1, row.sealed, row.data) for row in rows],
    )
    return True


def append_postgresql(cursor: Any, rows: Sequence[Row]) -> bool:
    """Store rows of different channels; see `append_sqlite`."""
    ids, expected, lasts, fences, sizes, sealed, data = map(list, zip(*rows, strict=True))
    cursor.execute(_UPDATE_POSTGRESQL, (ids, expected, lasts, fences, sizes))
    if cursor.rowcount != len(rows):
        return False
    firsts = [row.expected + 1 for row in rows]
    cursor.execute(_INSERT_POSTGRESQL, (ids, lasts, firsts, sealed, data))
    return True


def notify(cursor: Any, topic: str, payloads: Sequence[str]) -> None:
    """Have PostgreSQL tell others when the transaction is committed."""
    for payload in payloads:
        cursor.execute(_NOTIFY, (topic, payload))
