"""Brings a database to the tables of this version, by Alembic's scripts in `migrations`."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from ..errors import ConfigError

__all__ = ["migrate"]

# For a lock of PostgreSQL's: any number that nobody else takes.
_LOCK = 7_263_541_908


def migrate(connection: Connection) -> None:
    """Make the tables, or change them; in the transaction that the connection has begun.

    Raises
    ------
    ConfigError
        If a newer version has changed them already.
    """
    if connection.dialect.name == "postgresql":
        # Two servers that start at once.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = Config()
    config.set_main_option("script_location", "binderprogress.history:migrations")
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    there = set(MigrationContext.configure(connection).get_current_heads())
    if there - known:
        raise ConfigError(
            f"A newer version of binderprogress has changed the history's tables (to "
            f"{', '.join(sorted(there - known))}; this one knows up to "
            f"{scripts.get_current_head()}). Install that version, or name another database with "
            "c.History.url."
        )
    command.upgrade(config, "head")
