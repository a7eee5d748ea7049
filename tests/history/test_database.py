"""Launches are written and read in SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError

from binderprogress.core.phases import Phase
from binderprogress.core.timing.spans import PastLaunch
from binderprogress.history.database import Database
from binderprogress.history.models import Base, ImageTotal, LaunchRow, PeriodTotal, Repository

from .conftest import LOG
from .launches import NOON, past, spans

DAY = 86_400.0


def count(database: Database, table: type[Base]) -> int:
    with database.engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def test_a_launch_comes_back_as_it_was(database: Database) -> None:
    kept = past(host="binder.example.org", joined=True, image_bytes=5 * 10**9)
    database.add(kept)
    database.flush()
    assert database.recent(10) == [kept]


def test_it_is_still_there_in_the_next_run(database: Database, url: str) -> None:
    database.add(past())
    database.close()
    again = Database(url, log=LOG)
    assert again.recent(10) == [past()]
    again.close()


def test_the_newest_come_first(database: Database) -> None:
    database.write([past(began=NOON + n) for n in (2, 1, 3)])
    assert [launch.began - NOON for launch in database.recent(2)] == [3, 2]


def test_of_one_repository(database: Database) -> None:
    other = "https://github.com/ada/seals"
    database.write(
        [past(began=NOON + n, repository=other if n % 2 else past().repository) for n in range(6)]
    )
    assert [launch.began - NOON for launch in database.of(other, 2)] == [5, 3]
    assert database.of("https://github.com/ada/nothing", 2) == []


@pytest.mark.parametrize(
    "hostile",
    [
        {"ref": "null\0character"},
        {"repository": "https://example.org/half \ud800 of a character"},
        {"spans": [msgspec.structs.replace(spans()[0], step="\0", label="\udfff")]},
        {"reason": "r" * 1000, "outcome": Phase.FAILED},
        {"ref": "'); DROP TABLE launches; --"},
        {"ref": "é" * 20_000},
    ],
)
def test_what_repositories_name_is_kept_whatever_it_is(
    database: Database, hostile: dict[str, Any]
) -> None:
    """Attack: names that a database rejects, so that the history stops."""
    launch = past(**hostile)
    database.add(launch)
    database.add(past(began=NOON + 1))
    database.flush()
    assert len(database.recent(10)) == 2
    assert len(database.of(launch.repository, 10)) in {1, 2}
    assert database.lost == 0


# -- launches that cannot be written


def test_one_that_cannot_be_written_costs_no_other(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    bad = past(began="not a number")  # type: ignore[arg-type]
    for launch in (past(), bad, past(began=NOON + 1)):
        database.add(launch)
    database.flush()
    assert len(database.recent(10)) == 2
    assert database.lost == 1
    assert "1 launches are missing" in caplog.text


class Away:
    """A database that is unavailable until it is switched on."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tried = threading.Event()
        self.is_back = False
        self._write = database.write
        monkeypatch.setattr(database._writer, "_write", self.write)

    def write(self, launches: list[PastLaunch]) -> None:
        self.tried.set()
        if not self.is_back:
            raise OperationalError("INSERT", {"secret": "x"}, Exception("the server is away"))
        self._write(launches)


def test_a_database_that_is_away_for_a_while_loses_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = Away(database, monkeypatch)
    database.add(past())
    assert away.tried.wait(10)
    away.is_back = True
    database.flush()
    assert database.recent(10) == [past()]
    assert "the server is away" in caplog.text
    assert "secret" not in caplog.text


def test_too_many_that_wait_are_counted(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(url, max_waiting=2, log=LOG)
    away = Away(database, monkeypatch)
    database.add(past())
    assert away.tried.wait(10)
    for number in range(5):
        database.add(past(began=NOON + number))
    assert database.lost == 3
    assert "too many launches are waiting" in caplog.text
    database.close()
    # The one that was tried, and two that waited.
    assert database.lost == 6


def test_after_the_end_it_is_counted_too(database: Database) -> None:
    database.close()
    database.add(past())
    assert database.lost == 1


# -- removing old launches


def test_what_is_older_than_is_kept_is_removed_with_all_that_it_counted(url: str) -> None:
    database = Database(url, keep_days=30, log=LOG, clock=lambda: NOON)
    old, other = NOON - 31 * DAY, "https://github.com/ada/seals"
    database.write([past(began=old + n) for n in range(1500)])
    database.write([past(began=old, repository=other, image="seals:1"), past(), past()])
    database.tidy(threading.Event())
    assert count(database, LaunchRow) == 2
    assert count(database, Repository) == 1
    assert count(database, ImageTotal) == 1
    with database.engine.connect() as connection:
        found = connection.execute(select(Repository.__table__)).one()
        assert connection.scalar(select(func.min(PeriodTotal.day))) == int(NOON // DAY)
    assert (found.launches, found.ready, round(found.seconds, 3)) == (2, 2, 130.0)
    database.close()


def test_it_is_removed_by_itself(url: str) -> None:
    database = Database(url, log=LOG)
    database.write([past(began=NOON - 400 * DAY)])
    database.close()
    again = Database(url, keep_days=30, log=LOG, clock=lambda: NOON)
    again.add(past())
    again.flush()  # written after the first look at what is old
    assert again.recent(10) == [past()]
    again.close()


def test_removing_stops_when_the_server_does(url: str) -> None:
    database = Database(url, log=LOG, clock=lambda: NOON)
    database.write([past(began=NOON - 400 * DAY)])
    database._keep_days = 30
    stop = threading.Event()
    stop.set()
    database.tidy(stop)
    assert count(database, LaunchRow) == 1
    database.close()


# -- several writers


def test_two_servers_write_into_the_same(database: Database, url: str) -> None:
    other = Database(url, log=LOG)
    for number in range(200):
        database.add(past(began=NOON + number))
        other.add(past(began=NOON - number))
    database.flush()
    other.flush()
    assert (database.lost, other.lost) == (0, 0)
    with database.engine.connect() as connection:
        assert connection.scalar(text("SELECT launches FROM repositories")) == 400
    for days in (2, 93):
        found = database.stats(days=days, now=NOON + 200)
        assert sum(day.ready for day in found.days) == 400
        (total,) = [one for one in found.phases if (one.phase, one.day) == ("total", "")]
        assert total.launches == 400
    other.close()


def test_what_is_old_is_removed_while_others_write(url: str) -> None:
    """Another server adds to the week that is recomputed."""
    database = Database(url, log=LOG)
    tuesday = NOON + DAY
    other = Database(url, keep_days=1, log=LOG, clock=lambda: tuesday + DAY)
    stop = threading.Event()
    for number in range(20):
        database.write([past(began=NOON + number) for _ in range(3)])
        for second in range(20):
            database.add(past(began=tuesday + second))
        other.tidy(stop)
        database.flush()
    other.tidy(stop)
    for days in (2, 93):
        found = database.stats(days=days, now=tuesday)
        assert [(day.day, day.ready) for day in found.days] == [("2026-11-24", 400)]
        (total,) = [one for one in found.phases if (one.phase, one.day) == ("total", "")]
        assert total.launches == 400
    database.close()
    other.close()


def test_two_servers_make_the_tables_at_once(url: str) -> None:
    made: list[Database] = []
    threads = [
        threading.Thread(target=lambda: made.append(Database(url, log=LOG))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(made) == 4
    for database in made:
        database.close()
