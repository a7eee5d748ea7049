"""Creates and migrates tables, with Alembic's scripts."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from ..errors import ConfigError
from .purpose import Purpose

__all__ = ["migrate"]

# Key of an advisory lock of PostgreSQL: an arbitrary number.
_LOCK = 7_263_541_908


def migrate(connection: Connection, purpose: Purpose) -> None:
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
    config.set_main_option("script_location", purpose.migrations)
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    context = MigrationContext.configure(connection, opts={"version_table": purpose.version_table})
    current = set(context.get_current_heads())
    if current - known:
        raise ConfigError(
            f"The tables of the {purpose.name} are those of a newer version of binderprogress "
            f"(revision {', '.join(sorted(current - known))}; this version has "
            f"{scripts.get_current_head()}). Install the newer version, or set {purpose.setting} "
            "to another database."
        )
    if current != set(scripts.get_heads()):
        command.upgrade(config, "head")
