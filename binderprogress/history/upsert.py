"""Rows that are counted up if they are there, and inserted if not."""

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
    """Add to rows that are there, and insert the others.

    Parameters
    ----------
    newest : sequence of str
        Columns that are taken over from whichever has the greater `last`.
    """
    if not rows:
        return
    # In one order: two who count up the same rows do not wait for each other for ever.
    rows.sort(key=lambda row: [row[name] for name in key])
    statement = _insert(connection, table)
    if statement is None:
        _plainly(connection, table, key, sums, rows, newest)
        return
    columns, new = table.__table__.c, statement.excluded
    values = {name: columns[name] + new[name] for name in sums}
    for name in newest:
        values[name] = case((new["last"] >= columns["last"], new[name]), else_=columns[name])
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values), rows)


def _insert(connection: Connection, table: type[Base]) -> sqlite.Insert | postgresql.Insert | None:
    """Return a statement that may update instead, if the database has one."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return None


def _plainly(
    connection: Connection,
    table: type[Base],
    key: Sequence[str],
    sums: Sequence[str],
    rows: list[dict[str, Any]],
    newest: Sequence[str],
) -> None:
    """Do the same where the database has no statement for it."""
    columns = table.__table__.c
    for row in rows:
        values: dict[str, Any] = {name: columns[name] + row[name] for name in sums}
        for name in newest:
            newer = columns["last"] <= row["last"]
            values[name] = case((newer, row[name]), else_=columns[name])
        is_it = [columns[name] == row[name] for name in key]
        done = connection.execute(update(table).where(*is_it).values(values))
        if not done.rowcount:
            connection.execute(insert(table), row)


def insert_missing(
    connection: Connection, table: type[Base], key: Sequence[str], rows: list[dict[str, Any]]
) -> None:
    """Insert those rows whose key is not there yet."""
    statement = _insert(connection, table)
    if statement is not None:
        connection.execute(statement.on_conflict_do_nothing(index_elements=key), rows)
        return
    columns = table.__table__.c
    for row in rows:
        is_it = [columns[name] == row[name] for name in key]
        if connection.execute(select(columns[key[0]]).where(*is_it)).first() is None:
            connection.execute(insert(table), row)
