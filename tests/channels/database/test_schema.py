"""The tables, and errors as people read them."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import OperationalError

from binderprogress.channels.database.failures import storage_error
from binderprogress.channels.database.store import DatabaseStore
from binderprogress.channels.database.tables import VERSION_TABLE, from_text, metadata, to_text
from binderprogress.channels.database.window import Window
from binderprogress.errors import ConfigError
from binderprogress.history.database import Database

from ...support.asynchronous import asynchronous
from ...support.replicas import KEY, LOG
from ..test_conformance import events
from ..test_durable_conformance import running, with_channel


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path')}/launches.sqlite"
    found: str = request.getfixturevalue("database_url")
    return found


def driver(url: str) -> str:
    return url.replace("postgresql:", "postgresql+psycopg:")


@asynchronous(60)
async def test_the_migrations_make_the_tables_of_the_code(url: str) -> None:
    async with running(DatabaseStore(url, keys=KEY, log=LOG)):
        pass
    engine = create_engine(driver(url))
    with engine.connect() as connection:
        options = {"compare_type": True, "version_table": VERSION_TABLE}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


@asynchronous(60)
async def test_tables_of_this_version_need_no_migration(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(DatabaseStore(url, keys=KEY, log=LOG)):
        pass
    monkeypatch.setitem(sys.modules, "binderprogress.database.migration", None)
    async with running(DatabaseStore(url, keys=KEY, log=LOG)):
        pass


@asynchronous(60)
async def test_the_history_may_be_in_the_same_database(url: str) -> None:
    history = Database(url, log=LOG)
    async with running(DatabaseStore(url, keys=KEY, log=LOG)) as store:
        await with_channel(store)
    history.close()
    Database(url, log=LOG).close()
    async with running(DatabaseStore(url, keys=KEY, log=LOG)) as store:
        assert len(await store.leases("")) == 1
    engine = create_engine(driver(url))
    names = set(inspect(engine).get_table_names())
    assert {"launches", "leases", "alembic_version", VERSION_TABLE} <= names
    engine.dispose()


@asynchronous(60)
async def test_tables_of_a_newer_version_are_refused(url: str) -> None:
    async with running(DatabaseStore(url, keys=KEY, log=LOG)):
        pass
    engine = create_engine(driver(url))
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))  # noqa: S608 - ours
    engine.dispose()
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"newer version.*9999.*c\.Storage\.url"):
            await DatabaseStore(url, keys=KEY, log=LOG).open()


@pytest.mark.parametrize(
    "value", ["", "launch/1", "Zoë", "日本", "\0", "\ud800", "\\x41", "\\", "é" * 9]
)
def test_any_text_can_be_stored(value: str) -> None:
    assert to_text(value).isascii() and "\0" not in to_text(value)
    assert from_text(to_text(value)) == value
    assert to_text(value + "/more").startswith(to_text(value))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (psycopg.errors.DiskFull("no space"), "The disk of DB is full"),
        (psycopg.errors.TooManyConnections("sorry"), "max_connections"),
        (psycopg.errors.AdminShutdown("bye"), "is shutting down or starting"),
        (psycopg.errors.ReadOnlySqlTransaction("standby"), "Set c.Storage.url to the primary"),
        (psycopg.errors.InvalidPassword("no"), "refuses the login"),
        (psycopg.errors.QueryCanceled("timeout"), "took too long"),
        (
            psycopg.OperationalError("password authentication failed for x"),
            "refuses the login",
        ),
        (psycopg.OperationalError("connection refused"), "cannot be reached (connection refused)"),
        (sqlite3.OperationalError("strange"), "DB reported an error: strange"),
    ],
)
def test_errors_say_what_to_do(error: Exception, said: str) -> None:
    for each in (error, OperationalError("INSERT", {"secret": "x"}, error)):
        sentence = str(storage_error(each, "DB"))
        assert said in sentence
        assert "secret" not in sentence and "INSERT" not in sentence


def test_a_window_keeps_the_newest_events(tmp_path: Path) -> None:
    window = Window(1000)
    assert window.read(0, 10) is None
    window.describe(3, 2, closed=False)
    assert window.read(0, 10) is not None
    assert not window.read(0, 10)
    window.extend(events(3, 100))
    assert window.read(0, 10) is None
    newest = window.read(97, 10)
    assert newest is not None and [each.id for each in newest] == [98, 99, 100]
    # What is known is ignored, and a gap is not bridged.
    window.extend(events(99, 101))
    window.extend(events(110, 111))
    assert window.read(100, 10) is None
    newest = window.read(109, 10)
    assert newest is not None and [each.id for each in newest] == [110, 111]
    assert window.describe(3, 120, closed=True)
    assert window.read(111, 10) is None
    assert not window.describe(3, 115, closed=True)
    assert (window.last, window.closed) == (120, True)
