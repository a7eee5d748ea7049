"""Errors of databases, as sentences that say what to do."""

from __future__ import annotations

import re
import sqlite3
from contextlib import suppress

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from ...database.connection import reason_of
from ...errors import StorageError

__all__ = ["discard", "is_refused", "is_rerunnable", "is_unusable", "storage_error"]

_SQLITE = {
    sqlite3.SQLITE_FULL: "The disk with {where} is full. Free some space; it goes on by itself.",
    sqlite3.SQLITE_BUSY: "{where} is locked by another program, such as a backup. End it.",
    sqlite3.SQLITE_LOCKED: "{where} is locked by another program. End it.",
    sqlite3.SQLITE_READONLY: "{where} cannot be written. Make it and its folder writable.",
    sqlite3.SQLITE_CANTOPEN: "{where} cannot be opened. Check that its folder exists and is "
    "writable.",
    sqlite3.SQLITE_IOERR: "{where} cannot be read or written ({reason}). Check the disk.",
    sqlite3.SQLITE_CORRUPT: "{where} is damaged ({reason}). Restore a backup, or move it away.",
    sqlite3.SQLITE_NOTADB: "{where} is not a SQLite database. Move it away, or set "
    "c.Storage.url to another file.",
}

# By SQLSTATE, the longest prefix counts: https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL = {
    "08": "The connection to {where} failed ({reason}). Check that it runs.",
    "25006": "{where} accepts no writes, as a standby does. Set c.Storage.url to the primary.",
    "25P03": "{where} closed the connection after a pause of this process.",
    "28": "{where} refuses the login ({reason}). Check user and password in c.Storage.url.",
    "3D000": "{where} does not exist. Create it with createdb.",
    "42501": "The user may not do that in {where} ({reason}). Make it the owner of the database.",
    "53100": "The disk of {where} is full. Free some space; it goes on by itself.",
    "53200": "{where} is out of memory ({reason}).",
    "53300": "{where} has too many connections. Raise max_connections; a replica needs six.",
    "55P03": "{where} is locked ({reason}). It may be used by a backup or a migration.",
    "57014": "{where} took too long ({reason}). Check its load, or raise c.Storage.timeout.",
    "57P": "{where} is shutting down or starting ({reason}).",
}
_GONE = "{where} cannot be reached ({reason}). Check that it runs; it goes on by itself."
_OTHER = "{where} reported an error: {reason}"

_UNUSABLE_SQLITE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY}
_UNUSABLE_POSTGRESQL = ("28", "3D000", "42501", "25006")
_RERUN = ("40001", "40P01")
# A value or a statement that cannot be right: data, constraints, and programming errors.
_REFUSED_POSTGRESQL = ("22", "23", "42", "54")
_REFUSED_SQLITE = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)


# While connecting, psycopg gets no SQLSTATE.
_CONNECTING = (
    ("3D000", re.compile(r'database "[^"]{1,63}" does not exist')),
    ("28000", re.compile(r'authentication failed|role "[^"]{1,63}" does not exist|pg_hba\.conf')),
    ("53300", re.compile("too many (clients|connections)|remaining connection slots")),
    ("57P03", re.compile("the database system is ")),
)


def storage_error(error: Exception, where: str) -> StorageError:
    """Return what a database reports as an error for people.

    Parameters
    ----------
    error : Exception
        Of SQLAlchemy or of a driver.
    where : str
        What the database is called: its file, or its address without a password.
    """
    reason = reason_of(error)
    original = _original(error)
    if isinstance(original, OSError):
        sentence = _GONE
    elif isinstance(original, sqlite3.Error):
        sentence = _SQLITE.get(_sqlite_code(original), _OTHER)
    elif isinstance(error, PoolTimeoutError):
        sentence, reason = _GONE, "all connections wait for answers"
    elif isinstance(error, SQLAlchemyError) or hasattr(original, "sqlstate"):
        sentence = _by_state(_state(original))
    else:
        sentence, reason = _OTHER, f"{type(error).__name__}: {reason}"
    return StorageError(sentence.format(where=where, reason=reason))


def is_unusable(error: Exception) -> bool:
    """Whether the database cannot be used as it is configured, however long one waits."""
    original = _original(error)
    if isinstance(original, sqlite3.Error):
        return _sqlite_code(original) in _UNUSABLE_SQLITE
    return _state(original).startswith(_UNUSABLE_POSTGRESQL)


def is_rerunnable(error: Exception) -> bool:
    """Whether the transaction was in the way of another one, and can be done again at once."""
    return _state(_original(error)).startswith(_RERUN)


def is_refused(error: Exception) -> bool:
    """Whether a value or a statement was refused, so that other requests would succeed."""
    original = _original(error)
    if isinstance(original, sqlite3.Error):
        return isinstance(original, _REFUSED_SQLITE)
    if isinstance(original, OSError) or isinstance(error, PoolTimeoutError):
        return False
    if isinstance(error, DBAPIError) or hasattr(original, "sqlstate"):
        return _state(original).startswith(_REFUSED_POSTGRESQL)
    # Not the database's: a value that cannot be converted.
    return True


def _original(error: Exception) -> BaseException:
    return getattr(error, "orig", None) or error


def _sqlite_code(error: sqlite3.Error) -> int:
    # The lower byte is the primary code; some errors of the driver have none.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _state(error: BaseException) -> str:
    """Return the SQLSTATE of an error; empty if there is none, as when a connection is lost."""
    state: str | None = getattr(error, "sqlstate", None)
    if state is None:
        text = str(error)
        state = next((state for state, pattern in _CONNECTING if pattern.search(text)), "")
    return state


def _by_state(state: str) -> str:
    if not state:
        return _GONE
    for length in (5, 3, 2):
        if state[:length] in _POSTGRESQL:
            return _POSTGRESQL[state[:length]]
    return _OTHER


def discard(connection: Connection) -> None:
    """Close a connection that failed, and keep it from being used again."""
    with suppress(Exception):  # it is of no use any more, whatever it says
        connection.invalidate()
    with suppress(Exception):
        connection.close()
