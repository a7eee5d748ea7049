"""Rows that are added to if they exist, and inserted if not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, case, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from .models import Base

__all__ = ["count_up", "insert_missing"]


def count_up(
    connection: Connection,
    table: type[Base],
    key: Sequence[str],
    sums: Sequence[str],
    rows: list[dict[str, Any]],
    newest: Sequence[str] = (),
) -> None:
    """Add to existing rows, and insert the others.

    Parameters
    ----------
    connection : Connection
    table : type of Base
    key : sequence of str
        The columns of a unique index.
    sums : sequence of str
        The columns to add to.
    rows : list of dict
    newest : sequence of str
        Columns whose value comes from the row with the greater `last`.
    """
    if not rows:
        return
    # Sorted, so that two transactions with the same rows do not deadlock.
    rows.sort(key=lambda row: [row[name] for name in key])
    statement = _insert(connection, table)
    if statement is None:
        _count_up_each(connection, table, key, sums, rows, newest)
        return
    columns, new = table.__table__.c, statement.excluded
    values = {name: columns[name] + new[name] for name in sums}
    for name in newest:
        values[name] = case((new["last"] >= columns["last"], new[name]), else_=columns[name])
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values), rows)


def _insert(connection: Connection, table: type[Base]) -> sqlite.Insert | postgresql.Insert | None:
    """Return an insert statement that supports ON CONFLICT; None if the database has none."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return None


def _count_up_each(
    connection: Connection,
    table: type[Base],
    key: Sequence[str],
    sums: Sequence[str],
    rows: list[dict[str, Any]],
    newest: Sequence[str],
) -> None:
    """Update or insert the rows one by one, for databases without ON CONFLICT."""
    columns = table.__table__.c
    for row in rows:
        values: dict[str, Any] = {name: columns[name] + row[name] for name in sums}
        for name in newest:
            newer = columns["last"] <= row["last"]
            values[name] = case((newer, row[name]), else_=columns[name])
        has_key = [columns[name] == row[name] for name in key]
        done = connection.execute(update(table).where(*has_key).values(values))
        if not done.rowcount:
            connection.execute(insert(table), row)


def insert_missing(
    connection: Connection, table: type[Base], key: Sequence[str], rows: list[dict[str, Any]]
) -> None:
    """Insert the rows whose key does not exist yet."""
    statement = _insert(connection, table)
    if statement is not None:
        connection.execute(statement.on_conflict_do_nothing(index_elements=key), rows)
        return
    columns = table.__table__.c
    for row in rows:
        has_key = [columns[name] == row[name] for name in key]
        if connection.execute(select(columns[key[0]]).where(*has_key)).first() is None:
            connection.execute(insert(table), row)
