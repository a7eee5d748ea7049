"""The tables. Every change of them needs a migration."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement

__all__ = [
    "VERSION_TABLE",
    "Now",
    "batches",
    "build_log_parts",
    "build_logs",
    "build_queue",
    "channels",
    "from_text",
    "leases",
    "metadata",
    "rates",
    "replicas",
    "to_text",
]

VERSION_TABLE = "channels_version"
"""Where Alembic notes the version. The history may be in the same database."""

metadata = MetaData()
# SQLite increments a primary key only if its type is INTEGER.
_ID = BigInteger().with_variant(Integer, "sqlite")
_SECONDS = Float(53)

replicas = Table(
    "replicas",
    metadata,
    Column("name", Text, primary_key=True),
    # When it is gone unless it says something before.
    Column("until", _SECONDS, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    # In the order in which they were created.
    Column("number", _ID, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("key", Text, nullable=False),
    # The hash of the key, which may be too long for an index; null if it has none, or has ended.
    Column("key_hash", String(64), unique=True),
    Column("owner", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("user", Text, nullable=False),
    # Until it has ended.
    Column("client", Text, nullable=False, server_default=""),
    Column("state", LargeBinary, nullable=False),
    Column("created", _SECONDS, nullable=False),
    # Null while it has not ended.
    Column("ended", _SECONDS),
    Column("expires", _SECONDS),
    # Whether the owner has yet to take it: another one has given it.
    Column("given", Boolean, nullable=False, server_default=false()),
    # What the owner was asked for last.
    Column("asked", Text, nullable=False, server_default=""),
    # When another replica had viewers of it.
    Column("seen", _SECONDS),
    Index("leases_by_expiry", "expires"),
)
# The table also has what has ended, which is a hundred times as much.
Index(
    "leases_running",
    leases.c.number,
    postgresql_where=leases.c.ended.is_(None),
    sqlite_where=leases.c.ended.is_(None),
)

channels = Table(
    "channels",
    metadata,
    Column("id", Text, primary_key=True),
    # A channel without a lease has the name of its replica here, see `session.NO_LEASE`.
    Column("lease", Text, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("closed", Boolean, nullable=False),
    # That of its lease.
    Column("fence", BigInteger, nullable=False),
    # Bytes of its batches.
    Column("size", BigInteger, nullable=False),
    Index("channels_by_lease", "lease"),
    sqlite_with_rowid=False,
)

batches = Table(
    "batches",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("last", BigInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, nullable=False),
    # Whether the data is encrypted.
    Column("sealed", Boolean, nullable=False),
    # The events as they are sent, one after the other.
    Column("data", LargeBinary, nullable=False),
)


# Unlogged in PostgreSQL: it is written for each request that is limited, and after a crash of the
# database nobody misses it.
rates = Table(
    "rates",
    metadata,
    # A hash, because names of users may be too long for an index.
    Column("client", String(64), primary_key=True),
    Column("until", _SECONDS, nullable=False),
    Column("count", Integer, nullable=False),
)


# Builds that run or wait, with a row for each owner whose launches need it.
build_queue = Table(
    "build_queue",
    metadata,
    # In the order in which they came.
    Column("number", _ID, primary_key=True),
    Column("lease", Text, nullable=False),
    # A hash, because names of users may be too long for an index.
    Column("owner", String(64), nullable=False),
    Column("turn", BigInteger, nullable=False),
    # How long the build is expected to take.
    Column("seconds", _SECONDS, nullable=False),
    # Null while it waits.
    Column("began", _SECONDS),
    Index("build_queue_by_lease", "lease", "owner", unique=True),
)


# Logs of builds that have ended, for replicas that do not share a folder.
build_logs = Table(
    "build_logs",
    metadata,
    Column("build", String(64), primary_key=True),
    # A hash of the environment's key; null if the build has made none.
    Column("key_hash", String(64)),
    Column("ended", _SECONDS, nullable=False),
    # Bytes of the log, not compressed.
    Column("size", BigInteger, nullable=False),
    # Null until all of them are there.
    Column("parts", Integer),
    Column("times", LargeBinary, nullable=False),
    Index("build_logs_by_key", "key_hash", "ended"),
    Index("build_logs_by_end", "ended"),
)

build_log_parts = Table(
    "build_log_parts",
    metadata,
    Column("build", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    # Compressed.
    Column("data", LargeBinary, nullable=False),
)


class Now(ColumnElement[float]):
    """The time of the database, in seconds since 1970. Clocks of replicas may differ."""

    inherit_cache = True
    type = _SECONDS


@compiles(Now, "sqlite")
def _sqlite(element: Now, compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(Now, "postgresql")
def _postgresql(element: Now, compiler: Any, **options: Any) -> str:
    # Not that of the transaction, which may have waited for a lock.
    return "CAST(extract(epoch FROM clock_timestamp()) AS float8)"


def to_text(value: str) -> str:
    """Return any text as ASCII that every database accepts, with the prefixes that it has.

    PostgreSQL rejects null characters, and both reject lone surrogates.
    """
    if value.isascii() and value.isprintable() and "\\" not in value:
        # Most names, in a third of the time.
        return value
    return value.encode("unicode_escape").decode("ascii")


def from_text(value: str) -> str:
    """Return the text of `to_text`."""
    if value.isascii() and "\\" not in value:
        return value
    return value.encode("ascii").decode("unicode_escape")
