"""The precision of histograms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.history.histogram import Histogram, add_ended, add_phases

SHARES = (1, 10, 25, 50, 75, 90, 100)
TIMES = st.lists(st.floats(0.0, 1e6), min_size=1, max_size=200)


def true(times: list[float], share: int) -> float:
    """The exact percentile of durations."""
    return sorted(times)[max(-(-len(times) * share // 100), 1) - 1]


def is_near(found: float, time: float) -> bool:
    return abs(found - time) <= max(0.01 * time, 0.005)


@given(TIMES)
def test_a_percentile_is_the_true_one_within_one_percent(times: list[float]) -> None:
    launches, found = Histogram.of(times).percentiles(SHARES)
    assert launches == len(times)
    assert all(is_near(one, true(times, s)) for one, s in zip(found, SHARES, strict=True))
    assert found == sorted(found)


@given(TIMES, TIMES)
def test_added_up_they_are_the_histogram_of_all(some: list[float], more: list[float]) -> None:
    assert Histogram.sum([Histogram.of(some), Histogram.of(more)]) == Histogram.of(some + more)


@pytest.mark.parametrize("seconds", [0.02, 0.5, 7.0, 65.0, 3600.0])
def test_a_single_launch_reads_as_it_was(seconds: float) -> None:
    assert Histogram.of([seconds]).percentiles([10, 90]) == (1, [seconds, seconds])


def test_no_time_takes_more_room_than_there_is() -> None:
    ends = Histogram.of([-1.0, 0.0, 1e12, 1e300])
    assert len(ends.counts) == 1001
    assert ends.percentiles([50, 100]) == (4, [0.005, pytest.approx(3.95e6, rel=0.01)])


def test_nothing_added_is_nothing() -> None:
    assert add_ended([]) == add_phases([]) == {}
    one = {"cold": {"total": Histogram.of([7.0])}}
    two = {"cold": {"total": Histogram.of([9.0])}, "warm": {"waiting": Histogram.of([0.0])}}
    assert add_phases([one, two]) == {
        "cold": {"total": Histogram.of([9.0, 7.0])},
        "warm": {"waiting": Histogram.of([0.0])},
    }
    assert add_ended([{"ready": {"cold": 1}}, {"ready": {"cold": 2}, "failed": {"": 1}}]) == {
        "ready": {"cold": 3},
        "failed": {"": 1},
    }
