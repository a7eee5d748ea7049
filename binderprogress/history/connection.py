"""Connects to the database."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from .._private import make_private_file, make_private_folder
from ..errors import ConfigError
from .schema import migrate

__all__ = ["connect", "reason_of"]

_BUSY = 30.0
"""Seconds to wait for another process that writes to the same SQLite file."""

_RETRY_DELAY = 0.05

# The driver that the extra "postgresql" installs.
_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}


def connect(url: str) -> Engine:
    """Open a database and create or migrate its tables.

    Parameters
    ----------
    url : str
        A URL of SQLAlchemy. The path of a SQLite file may begin with ``~``. ``postgresql://`` uses
        psycopg.

    Raises
    ------
    ConfigError
        If the URL is not valid, its driver is not installed, or the database cannot be used.
    """
    address = _address(url)
    engine = _engine(address)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
    try:
        _make_private(address)
        with engine.execution_options(writes=True).begin() as connection:
            migrate(connection)
    except (SQLAlchemyError, OSError) as error:
        engine.dispose()
        raise ConfigError(
            f"The history cannot be opened at {address.render_as_string(hide_password=True)}: "
            f'{reason_of(error)}. Set c.History.url to another database, or to "" for no history.'
        ) from error
    except ConfigError:
        engine.dispose()
        raise
    return engine


def reason_of(error: Exception) -> str:
    """Return the database's message of an error, without the values of the statement."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0][:300]


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except ArgumentError as error:
        # Without the URL, which may contain a password.
        raise ConfigError(
            "c.History.url is not the URL of a database, such as sqlite:////srv/history.sqlite or "
            "postgresql://user:password@host/name."
        ) from error
    address = address.set(drivername=_DRIVERS.get(address.drivername, address.drivername))
    if address.get_backend_name() == "sqlite" and address.database:
        path = Path(address.database).expanduser()
        try:
            make_private_folder(path.parent)
        except OSError as error:
            raise ConfigError(
                f"The folder {path.parent} for the history cannot be created: {error.strerror}. "
                'Set c.History.url to another place, or to "" for no history.'
            ) from error
        address = address.set(database=str(path))
    return address


def _make_private(address: URL) -> None:
    name = address.database
    if address.get_backend_name() == "sqlite" and name and not name.startswith((":", "file:")):
        # SQLite creates its other files with the mode of this one.
        make_private_file(Path(name))


def _engine(address: URL) -> Engine:
    try:
        return create_engine(address, pool_pre_ping=True)
    except NoSuchModuleError as error:
        raise ConfigError(
            f"c.History.url has an unknown kind of database: {address.drivername}."
        ) from error
    except ModuleNotFoundError as error:
        module = error.name or address.get_driver_name()
        package = "binderprogress[postgresql]" if module == "psycopg" else module
        raise ConfigError(
            f"c.History.url needs {module}, which is not installed. "
            f"Install it with: pip install '{package}'"
        ) from error


def _on_connect(connection: sqlite3.Connection, _: Any) -> None:
    # The driver begins no transaction for statements that change tables, so `_on_begin` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(_BUSY * 1000)}")
    _write_ahead(cursor)
    # After a crash of the machine, the last launches may be lost, but the file is intact.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Enable write-ahead logging, so that readers do not wait for writers.

    If several servers open a new file at the same time, SQLite returns an error to all but one. It
    does not wait here, to avoid a deadlock.
    """
    until = time.monotonic() + _BUSY
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(_RETRY_DELAY)


def _on_begin(connection: Connection) -> None:
    # A transaction that writes takes the lock immediately, because SQLite does not wait for it
    # later.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
