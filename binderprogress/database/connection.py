"""Connects to a database."""

from __future__ import annotations

import sqlite3
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from .._private import make_private_file, make_private_folder
from ..errors import ConfigError
from .purpose import Purpose

__all__ = ["make_engine", "prepare", "reason_of"]

_BUSY = 30.0
"""Seconds to wait for another process that writes to the same SQLite file."""

_RETRY_DELAY = 0.05

_TRUSTED = 1.0
"""Seconds after its use for which a connection is not checked before it is used again."""

_IDLE_SINCE = "idle since"

# The driver that the extra "postgresql" installs.
_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}


def make_engine(
    url: str,
    purpose: Purpose,
    *,
    timeout: float = 0.0,
    stopping: threading.Event | None = None,
    server_options: str = "",
    **options: Any,
) -> Engine:
    """Return an engine for a database, without connecting. The folder of a file is created.

    Parameters
    ----------
    url : str
        A URL of SQLAlchemy. The path of a SQLite file may begin with ``~``. ``postgresql://`` uses
        psycopg.
    purpose : Purpose
    timeout : float
        Seconds after which a database that does not answer is an error. 0: 30 s for a SQLite file
        that others write to, and no limit of ours for PostgreSQL.
    stopping : threading.Event, optional
        With a timeout: ends every wait for PostgreSQL when it is set.
    server_options : str
        With a timeout: further options of PostgreSQL, such as "-c work_mem=8MB".
    **options
        Of SQLAlchemy's `create_engine`.

    Raises
    ------
    ConfigError
        If the URL is not valid, its driver is not installed, or the folder cannot be created.
    """
    address = _address(url, purpose)
    engine = _engine(address, purpose, **options)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", partial(_on_connect, patience=timeout or _BUSY))
        event.listen(engine, "begin", _on_begin)
    elif timeout and engine.driver == "psycopg":
        from .postgresql import connector  # psycopg is needed only here

        _, arguments = engine.dialect.create_connect_args(address)
        engine.dispose()
        if server_options:
            arguments["options"] = f"{server_options} {arguments.get('options', '')}"
        connect = connector(dict(arguments), timeout=timeout, stopping=stopping)
        engine = _engine(address, purpose, creator=connect, **options)
    return engine


def prepare(engine: Engine, purpose: Purpose) -> None:
    """Create a missing SQLite file, for its owner only, and create or migrate the tables.

    Raises
    ------
    ConfigError
        If a newer version has migrated the tables.
    sqlalchemy.exc.SQLAlchemyError, OSError
        If the database cannot be used.
    """
    name = engine.url.database
    if engine.dialect.name == "sqlite" and name and not name.startswith((":", "file:")):
        # SQLite creates its other files with the mode of this one.
        make_private_file(Path(name))
    with engine.connect() as connection:
        if _is_current(connection, purpose):
            return
    # Imported here, because a command that launches once starts a third faster without Alembic.
    from .migration import migrate

    with engine.execution_options(writes=True).begin() as connection:
        migrate(connection, purpose)


def _is_current(connection: Connection, purpose: Purpose) -> bool:
    """Whether the tables are those of this version."""
    if not inspect(connection).has_table(purpose.version_table):
        return False
    versions = connection.scalars(text(f"SELECT version_num FROM {purpose.version_table}"))  # noqa: S608 - a constant
    return list(versions) == [purpose.version]


def reason_of(error: Exception) -> str:
    """Return the database's message of an error, without the values of the statement."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0][:300]


def _address(url: str, purpose: Purpose) -> URL:
    try:
        address = make_url(url)
    except ArgumentError as error:
        # Without the URL, which may contain a password.
        raise ConfigError(
            f"{purpose.setting} is not the URL of a database, such as "
            f"sqlite:////srv/{purpose.file} or postgresql://user:password@host/name."
        ) from error
    address = address.set(drivername=_DRIVERS.get(address.drivername, address.drivername))
    if address.get_backend_name() == "sqlite" and address.database:
        path = Path(address.database).expanduser()
        try:
            make_private_folder(path.parent)
        except OSError as error:
            raise ConfigError(
                f"The folder {path.parent} for the {purpose.name} cannot be created: "
                f"{error.strerror}. {purpose.advice.replace('database', 'place')}"
            ) from error
        address = address.set(database=str(path))
    return address


def _engine(address: URL, purpose: Purpose, **options: Any) -> Engine:
    try:
        engine = create_engine(address, **options)
    except NoSuchModuleError as error:
        raise ConfigError(
            f"{purpose.setting} has an unknown kind of database: {address.drivername}."
        ) from error
    except ModuleNotFoundError as error:
        module = error.name or address.get_driver_name()
        package = "binderprogress[postgresql]" if module == "psycopg" else module
        raise ConfigError(
            f"{purpose.setting} needs {module}, which is not installed. "
            f"Install it with: pip install '{package}'"
        ) from error
    # A file does not close connections.
    if address.get_backend_name() != "sqlite":
        _replace_lost(engine)
    return engine


def _replace_lost(engine: Engine) -> None:
    """Replace connections that the server has closed while they were idle.

    `pool_pre_ping` asks the server before each use, which takes a third of the time of a read.
    """

    def returned(_: Any, record: ConnectionPoolEntry) -> None:
        record.info[_IDLE_SINCE] = time.monotonic()

    def used(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
        since = record.info.get(_IDLE_SINCE)
        if since is None or time.monotonic() - since < _TRUSTED:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            # It is opened once more, and so are all others.
            raise InvalidatePoolError("The server has closed it.") from error

    event.listen(engine, "checkin", returned)
    event.listen(engine, "checkout", used)


def _on_connect(connection: sqlite3.Connection, _: Any, *, patience: float) -> None:
    # The driver begins no transaction for statements that change tables, so `_on_begin` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")
    _write_ahead(cursor, patience)
    # After a crash of the machine, the last transactions may be lost, but the file is intact.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _write_ahead(cursor: sqlite3.Cursor, patience: float) -> None:
    """Enable write-ahead logging, so that readers do not wait for writers.

    If several servers open a new file at the same time, SQLite returns an error to all but one. It
    does not wait here, to avoid a deadlock.
    """
    until = time.monotonic() + patience
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
