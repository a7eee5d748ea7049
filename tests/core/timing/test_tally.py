from __future__ import annotations

import random
from math import log

import pytest

from binderprogress.core.phases import Phase
from binderprogress.core.timing.estimator import TYPICAL
from binderprogress.core.timing.lognormal import LogNormal
from binderprogress.core.timing.priors import Place, Priors
from binderprogress.core.timing.spans import PastLaunch, Span
from binderprogress.core.timing.tally import Tally


def followed(values: list[float]) -> Tally:
    tally = Tally()
    for value in values:
        tally.follow(value, 1.0, 0.3)
    return tally


def test_two_values_far_away_are_a_change() -> None:
    tally = followed([3.0] * 20 + [4.1])
    assert tally.weight == 21
    tally.follow(4.2, 1.0, 0.3)
    assert tally.weight == 2
    assert tally.mean == pytest.approx(4.15)


def test_an_outlier_is_none_and_neither_are_two_in_different_directions() -> None:
    assert followed([3.0] * 20 + [9.0] + [3.0] * 20).weight == 41
    assert followed([3.0] * 20 + [9.0, -9.0] * 5).weight == 30


def test_values_that_vary_as_usual_are_none() -> None:
    draw = random.Random(5)  # noqa: S311 - nothing secret
    tally = followed([draw.gauss(3.0, 0.3) for _ in range(3000)])
    assert tally.weight == 3000
    assert tally.mean == pytest.approx(3.0, abs=0.03)


def test_a_small_change_is_noticed_after_some_values() -> None:
    assert followed([3.0] * 50 + [3.6] * 12).mean > 3.5


def built(count: int, seconds: float) -> PastLaunch:
    return PastLaunch(
        began=3600.0 * count,
        provider="git",
        repository="a",
        commit=str(count),
        outcome=Phase.READY,
        cold=True,
        spans=[Span(Phase.BUILDING, 0.0, seconds), Span(Phase.LAUNCHING, seconds, seconds + 2)],
    )


def test_a_repository_that_takes_three_times_as_long_is_expected_to_after_two_launches() -> None:
    priors = Priors()
    prior = LogNormal(log(TYPICAL[Phase.BUILDING]), 0.9)
    for count in range(40):
        priors.add(built(count, 60.0 if count < 38 else 180.0))
        about = priors.about(Place("", "a", "new"), TYPICAL)
        if count == 37:
            assert about.phase(Phase.BUILDING, prior).median == pytest.approx(60, rel=0.05)
    assert about.phase(Phase.BUILDING, prior).median == pytest.approx(180, rel=0.1)
