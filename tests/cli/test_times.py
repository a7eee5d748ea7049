"""The time left and when it is over, in the same tables of cases as the browser's."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from binderprogress.cli.times import duration, ready_by, time_left

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
