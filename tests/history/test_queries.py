"""Queries of the pages."""

from __future__ import annotations

import pytest

from binderprogress.core.phases import Phase
from binderprogress.history.database import Database
from binderprogress.history.store import Day, Distribution, Names, ReasonCount, Stats

from .launches import NOON, past, spans

DAY = 86_400.0


def stats(database: Database, **options: object) -> Stats:
    return database.stats(**{"days": 30, "now": NOON, **options})  # type: ignore[arg-type]


def of(found: Stats, phase: str, *, cold: bool = True, day: str = "") -> Distribution:
    (one,) = [d for d in found.phases if (d.phase, d.cold, d.day) == (phase, cold, day)]
    return one


def test_nothing_is_there_yet(database: Database) -> None:
    assert stats(database) == Stats()
    assert database.popular(limit=10, now=NOON) == []
    assert database.names() == Names()


def test_how_they_ended_and_why_day_by_day(database: Database) -> None:
    failed = {"outcome": Phase.FAILED, "reason": "build-failed"}
    database.write(
        [
            past(),
            past(cold=False),
            past(**failed),
            past(began=NOON - DAY, **failed),
            past(began=NOON - DAY, outcome=Phase.CANCELLED, reason="abandoned"),
            past(began=NOON - 30 * DAY),  # before the thirty days
        ]
    )
    found = stats(database)
    assert found.days == [
        Day(day="2026-11-22", failed=1, cancelled=1),
        Day(day="2026-11-23", ready=2, failed=1, cold=1),
    ]
    assert found.reasons == [
        ReasonCount(outcome=Phase.FAILED, reason="build-failed", launches=2),
        ReasonCount(outcome=Phase.CANCELLED, reason="abandoned", launches=1),
    ]


def test_phases_over_all_days_and_by_day(database: Database) -> None:
    database.write([past(spans=spans(building=40)) for _ in range(10)])
    database.write([past(began=NOON - DAY, spans=spans(building=400)) for _ in range(10)])
    found = stats(database)
    assert of(found, "building", day="2026-11-23").p50 == pytest.approx(40, rel=0.01)
    assert of(found, "building", day="2026-11-22").p50 == pytest.approx(400, rel=0.01)
    whole = of(found, "building")
    assert whole.launches == 20
    assert (whole.p10, whole.p90) == pytest.approx((40, 400), rel=0.01)
    assert of(found, "total", day="2026-11-23").p50 == pytest.approx(65, rel=0.01)


def test_over_many_days_phases_are_told_by_the_week(database: Database) -> None:
    """NOON is on a Monday."""
    database.write([past(began=NOON + day * DAY) for day in (-8, -7, -1, 0)])
    found = stats(database, days=93)
    total = [(d.day, d.launches) for d in found.phases if d.phase == "total"]
    assert total == [("", 4), ("2026-11-09", 1), ("2026-11-16", 2), ("2026-11-23", 1)]


def test_a_period_that_begins_within_a_week_has_no_more_than_its_days(database: Database) -> None:
    """NOON is on a Monday."""
    database.write([past(began=NOON - day * DAY) for day in range(150)])
    for days in (1, 2, 7, 8, 30, 90, 92, 93, 94, 99, 100, 106):
        found = stats(database, days=days)
        total = [(d.day, d.launches) for d in found.phases if d.phase == "total"]
        assert total[0] == ("", days)
        assert sum(launches for _, launches in total[1:]) == days


def test_phases_cold_against_warm(database: Database) -> None:
    database.write([past(), past(cold=False, spans=spans(building=0.01))])
    found = stats(database)
    assert of(found, "total").p50 > 2 * of(found, "total", cold=False).p50


def test_only_what_came_to_its_end_is_a_duration(database: Database) -> None:
    database.write([past(outcome=Phase.FAILED), past(outcome=Phase.CANCELLED)])
    assert stats(database).phases == []


def test_a_build_that_was_joined_is_none_of_this_launchs_durations(database: Database) -> None:
    database.write([past(joined=True)])
    assert {d.phase for d in stats(database).phases} == {"launching", "total"}


def test_of_one_provider_or_host(database: Database) -> None:
    database.write([past(), past(provider="gl"), past(host="a.example.org")])
    assert of(stats(database), "total").launches == 3
    assert of(stats(database, provider="gh"), "total").launches == 2
    assert of(stats(database, host="a.example.org"), "total").launches == 1
    assert stats(database, provider="gl").days[0].ready == 1
    assert of(stats(database, host=""), "total").launches == 2
    assert of(stats(database, provider="gh", host=""), "total").launches == 1
    none = stats(database, provider="gl", host="a.example.org")
    assert (none.days, none.phases, none.reasons) == ([], [], [])


def test_providers_and_hosts_are_told(database: Database) -> None:
    database.write([past(), past(provider="gl"), past(host="a.example.org")])
    assert database.names() == Names(providers=["gh", "gl"], hosts=["", "a.example.org"])


def test_the_slowest_repositories(database: Database) -> None:
    slow, once = "https://github.com/ada/slow", "https://github.com/ada/once"
    database.write([past() for _ in range(3)])
    database.write([past(repository=slow, spans=spans(building=400)) for _ in range(4)])
    database.write([past(repository=slow, outcome=Phase.FAILED, reason="unknown")])
    database.write([past(repository=once, spans=spans(building=4000))])
    first, second = stats(database).repositories
    assert (first.repository, first.launches, first.ready, first.failed) == (slow, 5, 4, 1)
    assert (first.seconds, second.seconds) == (425.0, 65.0)
    assert second.pulled == 10.0


# -- popular images


def test_images_that_are_launched_often_and_pulled_long_come_first(database: Database) -> None:
    small, often = {"image": "small:1"}, {"image": "often:1"}
    database.write([past(**small, spans=spans(pulling=2)) for _ in range(10)])
    database.write([past(**often, spans=spans(pulling=20)) for _ in range(9)])
    first, second = database.popular(limit=10, now=NOON)
    assert (first.image, first.launches, first.seconds) == ("often:1", 9, 20.0)
    assert (second.image, second.launches, second.seconds) == ("small:1", 10, 2.0)
    assert first.score == pytest.approx(180, rel=0.01)
    assert database.popular(limit=1, now=NOON) == [first]


def test_what_is_launched_lately_comes_first(database: Database) -> None:
    database.write([past(image="old:1", began=NOON - 60 * DAY) for _ in range(10)])
    database.write([past(image="new:1") for _ in range(2)])
    assert [one.image for one in database.popular(limit=10, now=NOON)] == ["new:1", "old:1"]


def test_seconds_are_those_of_the_launches_that_pulled(database: Database) -> None:
    database.write([past(spans=spans(pulling=0)) for _ in range(9)])
    database.write([past(spans=spans(pulling=30))])
    (one,) = database.popular(limit=10, now=NOON)
    assert (one.launches, one.seconds) == (10, 30.0)


def test_what_was_never_pulled_and_what_is_no_image_are_not_listed(database: Database) -> None:
    database.write([past(spans=spans(pulling=0), image="here:1"), past(image="")])
    assert database.popular(limit=10, now=NOON) == []


def test_an_image_is_named_by_what_was_launched_last(database: Database) -> None:
    database.write([past(ref="main"), past(ref="v1", began=NOON - 1)])
    database.write([past(ref="v0", began=NOON - 2)])
    (one,) = database.popular(limit=10, now=NOON)
    assert (one.ref, one.commit, one.repository) == ("main", "a" * 40, past().repository)


def test_the_same_name_on_two_hosts_is_two_images(database: Database) -> None:
    database.write([past(), past(host="a.example.org")])
    assert sorted(one.host for one in database.popular(limit=10, now=NOON)) == ["", "a.example.org"]
