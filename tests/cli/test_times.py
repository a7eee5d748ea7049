"""The time left, in the same table of cases as the browser's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from binderprogress.cli.times import duration, time_left

CASES = json.loads((Path(__file__).parents[1] / "data" / "times_left.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: json.dumps(case["left"]))
def test_time_left(case: dict[str, Any]) -> None:
    assert time_left(**case["left"]) == case["terminal"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7.6, "8 s"), (80, "1 min 20 s"), (3900, "1 h 5 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
