"""Opens a database."""

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
"""Seconds to wait for another process that writes into the same file."""

_AGAIN = 0.05

# Of several, the one that our extra brings.
_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}


def connect(url: str) -> Engine:
    """Open a database and bring it to our tables.

    Parameters
    ----------
    url : str
        Of SQLAlchemy. A path of SQLite's may begin with ``~``; ``postgresql://`` is by psycopg.

    Raises
    ------
    ConfigError
        If that is no URL, its driver is not installed, or the database cannot be opened or used.
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
            f'{reason_of(error)}. Name another database with c.History.url, or none with "".'
        ) from error
    except ConfigError:
        engine.dispose()
        raise
    return engine


def reason_of(error: Exception) -> str:
    """Return what a database says of an error, without the values that it was given."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0][:300]


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except ArgumentError as error:
        # Not as it stands: it may have a password in it.
        raise ConfigError(
            "c.History.url is not the URL of a database, as sqlite:////srv/history.sqlite or "
            "postgresql://user:password@host/name."
        ) from error
    address = address.set(drivername=_DRIVERS.get(address.drivername, address.drivername))
    if address.get_backend_name() == "sqlite" and address.database:
        path = Path(address.database).expanduser()
        try:
            make_private_folder(path.parent)
        except OSError as error:
            raise ConfigError(
                f"The folder {path.parent} for the history cannot be made: {error.strerror}. Name "
                'another place with c.History.url, or none with "".'
            ) from error
        address = address.set(database=str(path))
    return address


def _make_private(address: URL) -> None:
    name = address.database
    if address.get_backend_name() == "sqlite" and name and not name.startswith((":", "file:")):
        # SQLite gives its other files the mode of this one.
        make_private_file(Path(name))


def _engine(address: URL) -> Engine:
    try:
        return create_engine(address, pool_pre_ping=True)
    except NoSuchModuleError as error:
        raise ConfigError(
            f"c.History.url names a kind of database that is not known: {address.drivername}."
        ) from error
    except ModuleNotFoundError as error:
        module = error.name or address.get_driver_name()
        package = "binderprogress[postgresql]" if module == "psycopg" else module
        raise ConfigError(
            f"{module} is not installed, which c.History.url needs. "
            f"Install it with: pip install '{package}'"
        ) from error


def _on_connect(connection: sqlite3.Connection, _: Any) -> None:
    # The driver's own way of beginning transactions leaves out those of tables.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(_BUSY * 1000)}")
    _write_ahead(cursor)
    # A crash of the machine may cost the last launches, and never the file.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Let who reads not wait for who writes.

    When several servers open a new file at once, SQLite refuses this to all but one, without
    waiting as it does elsewhere, since two that wait could wait for each other.
    """
    until = time.monotonic() + _BUSY
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(_AGAIN)


def _on_begin(connection: Connection) -> None:
    # Who is going to write says so at once, and waits for others; later it would be refused.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
