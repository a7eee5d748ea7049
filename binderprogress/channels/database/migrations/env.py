"""Alembic's environment. It uses the connection and the transaction of `database.migration`."""

from __future__ import annotations

from alembic import context

from binderprogress.channels.database.tables import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    # Alembic's default for SQLite is False, but `database.connection` begins transactions itself.
    transactional_ddl=True,
)
context.run_migrations()
