"""Ranges that hold as many launches as they say, whatever the launches are like."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import accumulate, pairwise
from math import log

import pytest

from binderprogress.core.log.steps import Step
from binderprogress.core.phases import Phase
from binderprogress.core.timing.calibration import Calibration
from binderprogress.core.timing.estimate import Left
from binderprogress.core.timing.estimator import TYPICAL, Estimator
from binderprogress.core.timing.learning import learn
from binderprogress.core.timing.priors import Expectation, Place, Priors
from binderprogress.core.timing.spans import PastLaunch, Span

from ...support.long import usually

KNOWN, MEASURED = 100, 400
"""Launches to learn from, and to estimate; each is learned from afterwards."""

LINES = 5
"""Lines of the log of a build's step."""

Draw = Callable[[random.Random], float]
"""What a step takes, as a multiple of its median."""


def log_normal(sigma: float) -> Draw:
    return lambda draw: draw.lognormvariate(0, sigma)


def pareto(draw: random.Random) -> float:
    return draw.paretovariate(1.2) / 2 ** (1 / 1.2)


def hanging(draw: random.Random) -> float:
    """A mirror that hangs in one of ten downloads."""
    return draw.lognormvariate(0, 0.2) + (draw.uniform(3, 30) if draw.random() < 0.1 else 0)


def launches(
    download: Draw, *, pulls: float = 0.0, slower_after: int | None = None
) -> Iterator[PastLaunch]:
    """Yield launches of ten repositories, each of a new commit."""
    draw = random.Random(16)  # noqa: S311 - nothing secret
    medians = [draw.lognormvariate(log(20), 0.8) for _ in range(10)]
    for count in range(KNOWN + MEASURED):
        number = draw.randrange(len(medians))
        factor = 3.0 if slower_after is not None and count >= slower_after + 30 * number else 1.0
        parts = [
            (Phase.WAITING, "", 0.5),
            (Phase.FETCHING, "", 2 * draw.lognormvariate(0, 0.3)),
            (Phase.BUILDING, "first", medians[number] * factor * download(draw)),
            (Phase.BUILDING, "second", medians[number] * factor * draw.lognormvariate(0, 0.2)),
            (Phase.LAUNCHING, "requested", 2 * draw.lognormvariate(0, 0.2)),
        ]
        if draw.random() < pulls:
            parts.append((Phase.LAUNCHING, "pulling", 40 * draw.lognormvariate(0, 0.3)))
        parts.append((Phase.LAUNCHING, "starting", 4 * draw.lognormvariate(0, 0.2)))
        times = [0.0, *accumulate(seconds for _, _, seconds in parts)]
        spans = [
            Span(phase, start, end, step=step)
            for (phase, step, _), (start, end) in zip(parts, pairwise(times), strict=True)
        ]
        yield PastLaunch(
            began=3600.0 * count,
            provider="git",
            repository=str(number),
            commit=str(count),
            outcome=Phase.READY,
            cold=True,
            spans=spans,
        )


def held(past: PastLaunch, priors: Priors) -> tuple[float, float]:
    """Return for what part of a launch the range and the upper bound held.

    Steps of a build have a log, with which the estimates go on.
    """
    place = Place("", past.repository, past.commit)
    estimator = Estimator(now=0.0, expectation=Expectation(priors, place, TYPICAL))
    within = before = 0.0
    for span in past.spans:
        step = Step(span.step, "") if span.step else None
        lines = LINES if span.phase is Phase.BUILDING else 1
        for line in range(lines):
            now = span.start + span.seconds * line / lines
            told = estimator.update(span.phase, None if line else step, now=now)
            assert told.low is not None
            assert told.high is not None
            assert told.latest is not None
            left, share = past.seconds - now, span.seconds / lines / past.seconds
            within += share * (told.low <= left <= told.high)
            before += share * (left <= told.latest)
    return within, before


WORLDS = {
    "little varies": launches(log_normal(0.3)),
    "log-normal tails": launches(log_normal(1.5)),
    "Pareto tails": launches(pareto),
    "mirrors that hang": launches(hanging),
    "pulls or not": launches(log_normal(0.3), pulls=0.5),
    "slower for good": launches(log_normal(0.3), slower_after=150),
}


# Other tests cover the lines, and coverage would take three times as long.
@pytest.mark.no_cover
@pytest.mark.parametrize("name", usually(WORLDS, "log-normal tails"))
def test_ranges_hold_as_many_launches_as_they_say(name: str) -> None:
    priors = Priors()
    ranges: list[float] = []
    bounds: list[float] = []
    for count, past in enumerate(WORLDS[name]):
        if count >= KNOWN:
            within, before = held(past, priors)
            ranges.append(within)
            bounds.append(before)
        learn(priors, past, TYPICAL)
    # The standard errors of so few launches are 0.02 and 0.01; `benchmarks.ranges` has more.
    assert sum(ranges) / MEASURED == pytest.approx(0.5, abs=0.04)
    assert sum(bounds) / MEASURED == pytest.approx(0.9, abs=0.03)


TOLD = Left(8.0, 10.0, 14.0, 20.0)


def test_nothing_is_corrected_where_nothing_is_known() -> None:
    calibration = Calibration()
    assert calibration.correct(Phase.BUILDING, TOLD) == TOLD
    for _ in range(100):
        calibration.add(Phase.LAUNCHING, TOLD, 100.0, 1.0)
    # Of a few launches, too little is known.
    for _ in range(50):
        calibration.add(Phase.BUILDING, TOLD, 100.0, 1.0)
    assert calibration.correct(Phase.LAUNCHING, TOLD) != TOLD
    assert calibration.correct(Phase.BUILDING, TOLD) == TOLD


def test_ranges_that_were_too_narrow_become_wider_and_those_that_were_too_wide_narrower() -> None:
    narrow, wide = Calibration(), Calibration()
    draw = random.Random(1)  # noqa: S311 - nothing secret
    for _ in range(300):
        narrow.add(Phase.BUILDING, TOLD, draw.uniform(0, 40), 1.0)
        wide.add(Phase.BUILDING, TOLD, draw.uniform(9.5, 10.5), 1.0)
    low, median, high, latest = narrow.correct(Phase.BUILDING, TOLD)
    assert (low, median, high, latest) == pytest.approx((10, 20, 30, 36), abs=2)
    low, median, high, latest = wide.correct(Phase.BUILDING, TOLD)
    assert (low, median, high, latest) == pytest.approx((9.75, 10, 10.25, 10.4), abs=0.15)


def test_the_order_stays_and_nothing_is_negative() -> None:
    calibration = Calibration()
    for left in (0.0, 0.0, 0.0, 1000.0) * 25:
        calibration.add(Phase.BUILDING, TOLD, left, 1.0)
    for told in (TOLD, Left(0.0, 0.0, 0.0, 0.0), Left(0.0, 0.0, 5.0, 5.0)):
        low, median, high, latest = calibration.correct(Phase.BUILDING, told)
        assert 0 <= low <= median <= high <= latest


def test_old_launches_are_forgotten() -> None:
    calibration = Calibration()
    for left in [100.0] * 1000 + [10.0] * 1000:
        calibration.add(Phase.BUILDING, TOLD, left, 1.0)
    assert calibration.correct(Phase.BUILDING, TOLD).latest < 10.5
