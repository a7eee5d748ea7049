"""The time left and when it is over, in the same tables of cases as the browser's."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from binderprogress.cli.times import day, duration, ready_by, time_left, took

DATA = Path(__file__).parents[1] / "data"
READY_BY = json.loads((DATA / "ready_by.json").read_text())
CASES = json.loads((DATA / "times_left.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: json.dumps(case["left"]))
def test_time_left(case: dict[str, Any]) -> None:
    assert time_left(**case["left"]) == case["terminal"]


@pytest.mark.parametrize("case", READY_BY, ids=lambda case: case["name"])
def test_ready_by(case: dict[str, Any]) -> None:
    text = ready_by(case["seconds"], case["now"], is_late=case.get("late", False))
    at = case["at"]
    clock = "" if at is None else time.strftime("%H:%M", time.localtime(at))
    assert text == (clock and f"ready by {clock} at the latest")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7.6, "8 s"), (80, "1 min 20 s"), (3900, "1 h 5 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.02, "0.1 s"), (0.34, "0.3 s"), (0.98, "1.0 s"), (1.9, "2 s"), (80, "1 min 20 s")],
)
def test_took(seconds: float, text: str) -> None:
    assert took(seconds) == text


NOON = time.mktime((2026, 11, 24, 12, 0, 0, 0, 0, -1))
DAY = 24 * 3600


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (NOON + 60, "24 November, 12:00"),
        (NOON + DAY, "Tuesday, 24 November"),
        (NOON + 5 * DAY, "Tuesday, 24 November"),
        (NOON + 7 * DAY, "24 November"),
        (NOON + 90 * DAY, "24 November 2026"),
    ],
)
def test_a_day(now: float, text: str) -> None:
    assert day(NOON, now) == text
