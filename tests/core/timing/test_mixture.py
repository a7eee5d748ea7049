"""Quantiles of launches that may go on in different ways."""

from __future__ import annotations

from math import log
from random import Random

import pytest

from binderprogress.core.phases import Phase
from binderprogress.core.timing.estimator import TYPICAL
from binderprogress.core.timing.lognormal import LogNormal, remaining
from binderprogress.core.timing.mixture import Case, quantile, total
from binderprogress.core.timing.outlook import Outlook
from binderprogress.core.timing.priors import Expectation, Place

BUILD, START = LogNormal(log(120), 0.9), LogNormal(log(8), 0.5)


def test_one_case_has_its_own_quantiles() -> None:
    for share in (0.25, 0.5, 0.75, 0.9):
        assert quantile((Case(1.0, BUILD),), share) == pytest.approx(remaining(BUILD, 0, share))


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("chance", [0.1, 0.4, 0.7])
@pytest.mark.parametrize("other", [START, None])
def test_quantiles_hold_their_share(share: float, chance: float, other: LogNormal | None) -> None:
    draw = Random(3)  # noqa: S311 - nothing secret
    cases = (Case(chance, BUILD), Case(1 - chance, other))
    times = []
    for _ in range(20_000):
        case = cases[0] if draw.random() < chance else cases[1]
        times.append(draw.lognormvariate(*case.time) if case.time else 0.0)
    at = quantile(cases, share)
    assert sum(time <= at for time in times) / len(times) == pytest.approx(
        max(share, 1 - chance) if other is None else share, abs=0.015
    )


def test_the_range_of_a_likely_reuse_is_not_that_of_a_build() -> None:
    """A launch that probably builds nothing takes seconds, although the mean is a minute."""
    cases = (Case(0.2, total([BUILD, START])), Case(0.8, START))
    assert quantile(cases, 0.5) < 12
    assert quantile(cases, 0.9) > 60


def test_nothing_is_to_be_done() -> None:
    assert quantile((), 0.5) == 0
    assert quantile((Case(1.0, None),), 0.9) == 0
    assert quantile((Case(0.4, BUILD), Case(0.6, None)), 0.5) == 0


def test_launches_that_expect_the_same_compute_it_once() -> None:
    Outlook(Expectation(None, Place(), TYPICAL)).after(Phase.WAITING, cold=0.3, pull=0.2)
    before = quantile.cache_info()
    Outlook(Expectation(None, Place(), TYPICAL)).after(Phase.WAITING, cold=0.3, pull=0.2)
    after = quantile.cache_info()
    assert (after.hits - before.hits, after.misses - before.misses) == (4, 0)


def test_the_sum_of_durations() -> None:
    assert total([]) is None
    assert total([BUILD]) == BUILD
    both = total([BUILD, START])
    assert both is not None
    assert both.median == pytest.approx(128)
    # Independent durations do not all take long.
    assert START.sigma < both.sigma < BUILD.sigma
