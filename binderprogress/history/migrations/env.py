"""What Alembic runs around the scripts: on the connection, and in the transaction, of `schema`."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # SQLite's drivers leave it out; ours begins its transactions itself.
    transactional_ddl=True,
)
context.run_migrations()
