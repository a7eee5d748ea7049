"""``binderprogress history rebuild``: the real command, on a real file."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from binderprogress.history.database import Database

from ..history.launches import NOON, past
from .test_usage import cli


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A history of three launches."""
    path = tmp_path / "history.sqlite"
    database = Database(f"sqlite:///{path}", log=logging.getLogger())
    database.write([past(), past(provider="gl"), past(host="b.example.org")])
    database.close()
    return path


def change(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(statement)
        connection.commit()


def told(file: Path) -> object:
    database = Database(f"sqlite:///{file}", log=logging.getLogger())
    try:
        return database.stats(days=30, now=NOON), database.popular(limit=10, now=NOON)
    finally:
        database.close()


def test_totals_are_recomputed(file: Path, env: dict[str, str]) -> None:
    before = told(file)
    change(file, "DELETE FROM periods WHERE day % 2 = 0 OR provider = 'gl'")
    change(file, "UPDATE repositories SET launches = 99, seconds = 9999")
    change(file, "DELETE FROM images")
    assert told(file) != before
    config = file.with_name("config.py")
    config.write_text(f"c.History.url = 'sqlite:///{file}'")
    config.chmod(0o600)
    done = cli("history", "rebuild", "-f", str(config), env=env)
    assert (done.returncode, done.stderr) == (0, "Read 3 launches.\n")
    assert f"sqlite:///{file}" in done.stdout
    assert "Done: 3 launches" in done.stdout
    assert told(file) == before


def test_a_launch_that_was_removed_is_not_counted(file: Path, env: dict[str, str]) -> None:
    change(file, "DELETE FROM launches WHERE provider = 'gl'")
    done = cli("history", "rebuild", "--url", f"sqlite:///{file}", env=env)
    assert "Done: 2 launches" in done.stdout
    database = Database(f"sqlite:///{file}", log=logging.getLogger())
    assert database.names().providers == ["gh"]
    database.close()


def test_a_failure_changes_nothing(file: Path, env: dict[str, str]) -> None:
    change(file, "UPDATE launches SET spans = 'no JSON' WHERE provider = 'gl'")
    before = told(file)
    done = cli("history", "rebuild", "--url", f"sqlite:///{file}", env=env)
    assert (done.returncode, "Done" in done.stdout) == (1, False)
    assert f"The totals of sqlite:///{file} could not be rebuilt, and are unchanged" in done.stderr
    assert told(file) == before
    change(file, "DROP TABLE images")
    done = cli("history", "rebuild", "--url", f"sqlite:///{file}", env=env)
    assert (done.returncode, "no such table: images" in done.stderr) == (1, True)


def test_without_a_history(env: dict[str, str]) -> None:
    done = cli("history", "rebuild", "--url=", env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Name its database with --url." in done.stderr


@pytest.mark.parametrize("named", [True, False])
def test_a_history_that_is_not_there_is_not_made(
    named: bool, env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "folder" / "history.sqlite"
    arguments = ["--url", f"sqlite:///{file}"] if named else []
    done = cli(
        *("history", "rebuild", *arguments), env={**env, "XDG_DATA_HOME": str(tmp_path / "data")}
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "There is no history at " in done.stderr
    assert "Name its database with --url." in done.stderr
    assert not list(tmp_path.rglob("*.sqlite*"))
    assert not file.parent.exists()
