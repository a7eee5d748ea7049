"""Creates and migrates the tables, with Alembic's scripts in `migrations`."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from ..errors import ConfigError

__all__ = ["migrate"]

# Key of an advisory lock of PostgreSQL: an arbitrary number.
_LOCK = 7_263_541_908


def migrate(connection: Connection) -> None:
    """Create or migrate the tables, in the current transaction of the connection.

    Raises
    ------
    ConfigError
        If a newer version has migrated them.
    """
    if connection.dialect.name == "postgresql":
        # Several servers may start at the same time.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = Config()
    config.set_main_option("script_location", "binderprogress.history:migrations")
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
    if unknown:
        raise ConfigError(
            f"The tables of the history are those of a newer version of binderprogress (revision "
            f"{', '.join(sorted(unknown))}; this version has {scripts.get_current_head()}). "
            "Install the newer version, or set c.History.url to another database."
        )
    command.upgrade(config, "head")
