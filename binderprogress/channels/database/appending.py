"""Stores the events of many channels with few statements.

They are plain SQL, because SQLAlchemy takes as long for a row as everything else here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .arrays import integers, texts

__all__ = ["Extension", "Row", "append_postgresql", "append_sqlite", "notify"]

_UPDATE_SQLITE = (
    "UPDATE channels SET last = ?, size = size + ? "
    "WHERE id = ? AND last = ? AND NOT closed AND fence = ?"
)
_INSERT_SQLITE = 'INSERT INTO batches (channel, last, "first", sealed, data) VALUES (?, ?, ?, ?, ?)'

# One statement for all rows, whose columns are arrays. It inserts nothing unless all channels could
# become longer.
_APPEND_POSTGRESQL = """
WITH extended AS (
    UPDATE channels AS c SET last = r.last, size = c.size + r.size
    FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
        AS r (id, expected, last, fence, size)
    WHERE c.id = r.id AND c.last = r.expected AND NOT c.closed AND c.fence = r.fence
    RETURNING 1
)
INSERT INTO batches (channel, last, "first", sealed, data)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bool[], %b::bytea[])
WHERE (SELECT count(*) FROM extended) = %s
"""
_NOTIFY = "SELECT pg_notify(%s, %s)"


class Extension(NamedTuple):
    """By how much a channel becomes longer. Names are as in the tables."""

    channel: str
    expected: int
    last: int
    fence: int
    size: int


class Row(NamedTuple):
    """Events that become a row. Names are as in the tables."""

    channel: str
    last: int
    first: int
    sealed: bool
    data: bytes


def append_sqlite(cursor: Any, extensions: Sequence[Extension], rows: Sequence[Row]) -> bool:
    """Store events.

    Parameters
    ----------
    cursor
        Of the driver.
    extensions : sequence of Extension
        Of different channels.
    rows : sequence of Row
        Their events.

    Returns
    -------
    bool
        False if not all could be stored. The transaction must be rolled back then.
    """
    cursor.executemany(
        _UPDATE_SQLITE,
        [(each.last, each.size, each.channel, each.expected, each.fence) for each in extensions],
    )
    if cursor.rowcount != len(extensions):
        return False
    cursor.executemany(_INSERT_SQLITE, rows)
    return True


def append_postgresql(cursor: Any, extensions: Sequence[Extension], rows: Sequence[Row]) -> bool:
    """Store events; see `append_sqlite`."""
    ids, *numbers = zip(*extensions, strict=True)
    names, lasts, firsts, sealed, data = zip(*rows, strict=True)
    values = (
        texts(ids),
        *map(integers, numbers),
        texts(names),
        integers(lasts),
        integers(firsts),
        integers(map(int, sealed)),
        list(data),
        len(extensions),
    )
    cursor.execute(_APPEND_POSTGRESQL, values)
    return bool(cursor.rowcount == len(rows))


def notify(cursor: Any, topic: str, payloads: Sequence[str]) -> None:
    """Have PostgreSQL tell others when the transaction is committed."""
    for payload in payloads:
        cursor.execute(_NOTIFY, (topic, payload))
