"""Alembic's environment. It uses the connection and the transaction of `database.migration`."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # Alembic's default for SQLite is False, but `connection` begins transactions explicitly.
    transactional_ddl=True,
)
context.run_migrations()
