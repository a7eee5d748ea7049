"""Totals are the same whether they are updated or rebuilt."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from binderprogress.core.phases import Phase
from binderprogress.history import upsert as counting
from binderprogress.history.database import Database
from binderprogress.history.models import ImageTotal, PeriodTotal, Repository
from binderprogress.history.totals import weight

from .conftest import LOG
from .launches import NOON, past, spans

DAY = 86_400.0


def everything(database: Database) -> list[list[dict[str, Any]]]:
    """All totals, without values that depend on the order of insertion."""
    found = []
    with database.engine.connect() as connection:
        for table in (Repository, ImageTotal, PeriodTotal):
            columns = list(table.__table__.c)
            rows = connection.execute(select(table.__table__).order_by(*columns)).mappings()
            found.append([dict(row) for row in rows])
    return found


def some(count: int = 300) -> list[Any]:
    """Launches of all kinds."""
    chance = random.Random(7)  # noqa: S311 - it is to be the same each time
    return [
        past(
            began=NOON - chance.uniform(0, 40) * DAY,
            repository=f"https://github.com/ada/{chance.randrange(5)}",
            provider=chance.choice(["gh", "gl"]),
            host=chance.choice(["", "a.example.org"]),
            ref=chance.choice(["HEAD", "main"]),
            image=chance.choice(["", "image:1", "image:2"]),
            outcome=chance.choice([Phase.READY, Phase.READY, Phase.FAILED, Phase.CANCELLED]),
            reason=chance.choice(["", "unknown"]),
            cold=chance.random() < 0.5,
            joined=chance.random() < 0.2,
            spans=spans(chance.lognormvariate(4, 1), chance.choice([0.0, 12.0])),
        )
        for _ in range(count)
    ]


def assert_equal(one: Any, other: Any) -> None:
    assert len(one) == len(other)
    for rows, others in zip(one, other, strict=True):
        assert [pytest.approx(row) for row in rows] == others


def test_made_anew_they_are_the_same(database: Database) -> None:
    for start in range(0, 300, 70):
        database.write(some()[start : start + 70])
    before = everything(database)
    assert all(before)
    database.rebuild()
    assert_equal(everything(database), before)


def test_what_was_removed_is_in_none_of_them(url: str) -> None:
    database = Database(url, keep_days=20, log=LOG, clock=lambda: NOON)
    database.write(some())
    database.tidy(threading.Event())
    before = everything(database)
    database.rebuild()
    assert_equal(everything(database), before)
    database.close()


def test_where_the_database_cannot_insert_or_update_they_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = Database(f"sqlite:///{tmp_path}/quick.sqlite", log=LOG)
    plain = Database(f"sqlite:///{tmp_path}/plain.sqlite", log=LOG)
    launches = some()
    for start in (0, 150):
        quick.write(launches[start : start + 150])
    monkeypatch.setattr(counting, "_insert", lambda connection, table: None)
    for start in (0, 150):
        plain.write(launches[start : start + 150])
    assert_equal(everything(plain), everything(quick))
    quick.close()
    plain.close()


def test_a_launch_counts_half_as_much_two_weeks_later() -> None:
    assert weight(NOON + 14 * DAY) == pytest.approx(2 * weight(NOON))
    assert 0 < weight(-1e12) < weight(1e12) < float("inf")
