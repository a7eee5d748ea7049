"""The benchmark runs, and generates the same data each time."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from benchmarks import history
from binderprogress.core.timing.spans import PastLaunch


def test_it_measures_each_row_of_its_table(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/history.sqlite"
    result = history.compare(count=300, url=url)
    named = result["named"]
    assert set(history.ROWS) <= set(named)
    assert all(value > 0 for value in named.values())
    shown = history.table(result)
    assert all(title in shown for title in history.ROWS.values())


def test_launches_are_those_of_the_seed() -> None:
    def some(seed: int) -> list[PastLaunch]:
        return list(islice(history.launches(1000, seed=seed), 50))

    assert some(1) == some(1) != some(2)
