"""Opening a database: its tables, and errors."""

from __future__ import annotations

import builtins
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command, op
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, create_engine, insert, text
from sqlalchemy.schema import CreateTable

from binderprogress.errors import ConfigError
from binderprogress.history.config import History
from binderprogress.history.connection import connect
from binderprogress.history.database import Database
from binderprogress.history.models import Base, LaunchRow
from binderprogress.history.store import NoHistory

from .conftest import LOG
from .launches import NOON, past

DATA = Path(__file__).parents[1] / "data"


def test_the_migrations_make_the_tables_of_the_code(url: str) -> None:
    engine = connect(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_tables_of_this_version_need_no_migration(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(url).dispose()
    # Importing Alembic takes longer than all else that opens a database.
    monkeypatch.setitem(sys.modules, "binderprogress.database.migration", None)
    connect(url).dispose()


def test_a_second_start_changes_nothing(database: Database, url: str) -> None:
    database.write([past()])
    again = Database(url, log=LOG)
    assert again.recent(10) == [past()]
    again.close()


def test_tables_of_a_newer_version_are_refused_and_left_as_they_are(url: str) -> None:
    engine = connect(url)
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match=r"newer version.*9999.*c\.History\.url"):
        connect(url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"
    engine.dispose()


def test_a_migration_that_fails_leaves_nothing_half_made(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, made = op.create_index, []

    def fail_at_the_second(*arguments: Any, **named: Any) -> None:
        made.append(arguments)
        if len(made) > 1:
            raise OSError("the disk is full")
        create(*arguments, **named)

    monkeypatch.setattr("alembic.op.create_index", fail_at_the_second)
    with pytest.raises(ConfigError, match="the disk is full"):
        connect(url)
    monkeypatch.undo()
    # Tables that are there already would be in the way now.
    connect(url).dispose()


def of_version_1(url: str) -> None:
    """Create a history with the first tables, and with rows of that version."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "binderprogress.history:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        tables = MetaData()
        tables.reflect(connection)
        rows = json.loads((DATA / "history-0001.json").read_text())
        for table in tables.sorted_tables:
            # The database makes these itself; ids are counted up from one, as they are there.
            own = {"id", "worth"}
            found = sorted(rows.get(table.name, []), key=lambda row: row.get("id", 0))
            if found:
                values = [{k: v for k, v in row.items() if k not in own} for row in found]
                connection.execute(insert(table), values)
    engine.dispose()


def test_a_history_of_the_version_before_goes_on(url: str, tmp_path: Path) -> None:
    of_version_1(url)
    database = Database(url, log=LOG)
    launches = database.recent(100)
    assert len(launches) == 16
    fresh = Database(f"sqlite:///{tmp_path}/fresh.sqlite", log=LOG)
    fresh.write(launches)
    for asked in (
        {"days": 30},
        {"days": 366},
        {"days": 30, "provider": "gh"},
        {"days": 366, "host": "a.example.org"},
        {"days": 92, "provider": "gl", "host": ""},
    ):
        found = database.stats(now=NOON, **asked)
        true = fresh.stats(now=NOON, **asked)
        assert (found.days, found.reasons) == (true.days, true.reasons)
        assert len(found.phases) == len(true.phases)
        for one, other in zip(found.phases, true.phases, strict=True):
            assert (one.phase, one.cold, one.day) == (other.phase, other.cold, other.day)
            assert one.launches == other.launches
            # As exact as it was counted then.
            assert one.p50 == pytest.approx(other.p50, rel=0.11)
        assert found.repositories == true.repositories
    assert database.names() == fresh.names()
    # What comes now is added, and made anew all of it is exact.
    for one in (database, fresh):
        one.write([past()])
    database.rebuild()
    assert database.stats(days=366, now=NOON) == fresh.stats(days=366, now=NOON)
    database.close()
    fresh.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("not a url", r"sqlite:////srv/history\.sqlite"),
        ("oracle7://x/y", "unknown kind of database: oracle7"),
        ("sqlite:////proc/history/history.sqlite", "folder /proc/history"),
        ("sqlite:////proc/history.sqlite", "cannot be opened"),
        ("postgresql://ada:secret@127.0.0.1:1/x", r"cannot be opened at .*\*\*\*"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        connect(url)
    assert "History.url" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").write_text("Dear diary, " * 100)
    with pytest.raises(ConfigError, match="not a database"):
        connect(f"sqlite:///{tmp_path}/history.sqlite")


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        # SQLAlchemy's own modules of these names are imported relatively.
        if name in {"psycopg", "pymysql"} and (len(arguments) < 4 or not arguments[3]):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'binderprogress\[postgresql\]'"):
        connect("postgresql://127.0.0.1/x")
    with pytest.raises(ConfigError, match="pip install 'pymysql'"):
        connect("mysql+pymysql://127.0.0.1/x")


# -- configuration


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


def test_by_default_it_is_a_file_in_the_users_data_folder(home: Path) -> None:
    history = History().open()
    history.close()
    assert (home / "binderprogress" / "history.sqlite").is_file()


def test_an_empty_url_keeps_nothing(home: Path) -> None:
    history = History(url="").open()
    history.add(past())
    assert isinstance(history, NoHistory)
    assert not history.recent(10)
    assert not home.exists()


def test_a_folder_that_cannot_be_written_is_no_reason_not_to_serve(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home.write_text("a file")
    with caplog.at_level(logging.WARNING):
        assert isinstance(History(log=LOG).open(), NoHistory)
    assert "The history of launches is disabled" in caplog.text
    with pytest.raises(ConfigError):
        History(url=f"sqlite:///{home}/history.sqlite").open()


def test_without_sqlalchemy_there_is_none_and_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        assert isinstance(History(log=LOG).open(), NoHistory)
    assert "pip install 'binderprogress[history]'" in caplog.text
    with pytest.raises(ConfigError, match=r"binderprogress\[history\]"):
        History(url="sqlite://").open()


def test_launches_are_not_columns_of_people() -> None:
    """No column may be about a person."""
    text_of_it = str(CreateTable(LaunchRow.__table__)).lower()  # type: ignore[arg-type]
    assert not [word for word in ("ip", "user", "token", "launch_id") if f"\t{word} " in text_of_it]
