"""Classes in words, and the weeks that they make."""

from __future__ import annotations

from random import Random

import pytest

from binderprogress.errors import ConfigError
from binderprogress.whatif.classes import Described, read_class
from binderprogress.whatif.policy import Background, LearningClass, Policy

DAY = 86400.0


@pytest.mark.parametrize(
    ("text", "students", "days", "at"),
    [
        ("120 students, Mondays at 10", 120, ["Monday"], "10:00"),
        ("1 student on Monday at 9:05", 1, ["Monday"], "9:05"),
        ("30 people, Fri, Tue and Wed at 14:15", 30, ["Tuesday", "Wednesday", "Friday"], "14:15"),
        (
            "8 students weekdays at 8",
            8,
            ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"],
            "8:00",
        ),
    ],
)
def test_a_class_in_words(text: str, students: int, days: list[str], at: str) -> None:
    assert read_class(text) == LearningClass(students=students, days=days, at=at)  # type: ignore[arg-type] # names of days


@pytest.mark.parametrize(
    "text",
    [
        "",
        "students",
        "0 students, Mondays at 10",
        "9 students, Moondays at 10",
        "9 students, Mondays at 24",
        "9 students, Mondays",
    ],
)
def test_other_words_are_not_understood(text: str) -> None:
    with pytest.raises(ConfigError, match="is not understood"):
        read_class(text)


def test_a_class_comes_on_its_days() -> None:
    policy = Policy(classes=[read_class("300 students, Mondays and Thursdays at 10:30")])
    demand = Described(policy).draw(Random(1))
    times = [request.time for request in demand.requests]
    assert times == sorted(times)
    for start in (0 * DAY + 10.5 * 3600, 3 * DAY + 10.5 * 3600):
        lesson = [time - start for time in times if start <= time < start + 600]
        assert len(lesson) == 300
        early = sum(time <= 200 for time in lesson)
        assert 130 <= early <= 170  # half in the first third
    assert demand.repositories == ["class"]
    assert demand.images[0].is_built


def test_the_background_is_of_all_kinds() -> None:
    policy = Policy(
        background=Background(launches_per_day=2000, repositories=50, commits_per_day=10)
    )
    demand = Described(policy).draw(Random(1))
    assert len(demand.requests) == 14_000
    counts = [0] * 50
    for request in demand.requests:
        counts[demand.images[request.image].repository] += 1
    assert 1.6 <= counts[0] / counts[1] <= 2.4
    assert sum(not image.is_built for image in demand.images) == 70
    nights = sum(request.time % DAY < 6 * 3600 for request in demand.requests)
    assert nights < 0.15 * len(demand.requests)
    weekend = sum(request.time >= 5 * DAY for request in demand.requests)
    assert 0.13 <= weekend / len(demand.requests) <= 0.20


def test_equal_seeds_give_equal_weeks() -> None:
    source = Described(Policy(classes=[read_class("9 students, Mondays at 10")]))
    assert source.draw(Random(4)) == source.draw(Random(4)) != source.draw(Random(5))


def test_nobody_is_an_error() -> None:
    with pytest.raises(ConfigError, match="Nobody launches anything"):
        Described(Policy())
