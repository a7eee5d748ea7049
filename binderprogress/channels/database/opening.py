"""Opens a database for the first time in a process."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from ...database.connection import prepare
from ...database.purpose import Purpose
from ...errors import ConfigError
from .cipher import UnknownKeyError
from .failures import is_unusable, storage_error
from .postgresql import PostgreSQL
from .sqlite import SQLite
from .tables import from_text, leases

__all__ = ["open_database"]


def open_database(database: SQLite | PostgreSQL, purpose: Purpose) -> None:
    """Lock a file, create or migrate the tables, and check that what is there can be decrypted.

    Raises
    ------
    StorageError
        If the database cannot be reached.
    ConfigError
        If it can never be used as it is configured.
    """
    database.acquire()
    try:
        prepare(database.engine, purpose)
        if database.is_shared:
            _check_key(database)
    except (SQLAlchemyError, OSError) as error:
        database.release()
        failure = storage_error(error, database.where)
        if is_unusable(error):
            raise ConfigError(f"{failure} {purpose.advice}") from error
        raise failure from error
    except BaseException:
        database.release()
        raise


def _check_key(database: SQLite | PostgreSQL) -> None:
    """Check that this process could go on with all launches."""
    running = select(leases.c.name, leases.c.state).where(leases.c.ended.is_(None))
    with database.engine.connect() as connection:
        for row in connection.execute(running):
            try:
                database.cipher.unseal(row.state)
            except UnknownKeyError as error:
                raise ConfigError(
                    f"{error} If it is lost, delete the row of {from_text(row.name)} from the "
                    "table leases."
                ) from error
