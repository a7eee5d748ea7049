from __future__ import annotations

from math import exp, isfinite, log
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.log.steps import Step, numbered
from binderprogress.core.phases import Phase
from binderprogress.core.timing import priors as knowledge
from binderprogress.core.timing.estimator import TYPICAL, Estimator
from binderprogress.core.timing.lognormal import LogNormal
from binderprogress.core.timing.priors import HALF_LIFE, Expectation, Place, Priors
from binderprogress.core.timing.spans import PastLaunch, Span

PRIOR = LogNormal(log(100.0), 0.9)
HERE = Place("host", "repository", "commit")


def past(
    *spans: tuple[str, float] | tuple[str, float, Step],
    at: float = 0.0,
    place: Place = HERE,
    outcome: str = "ready",
    **fields: Any,
) -> PastLaunch:
    """A launch with consecutive spans: phase, seconds and an optional step."""
    made, clock = [], 0.0
    for phase, seconds, *more in spans:
        step = more[0] if more else Step("", "")
        made.append(
            Span(
                Phase(phase),
                clock,
                clock + seconds,
                step=step.key,
                digest=step.digest,
                index=step.index,
                total=step.total,
                cached=step.cached,
            )
        )
        clock += seconds
    fields = {"cold": any(span[0] == "building" for span in spans), **fields}
    return PastLaunch(
        began=at,
        provider="git",
        repository=place.repository,
        commit=place.commit,
        host=place.host,
        outcome=Phase(outcome),
        spans=made,
        **fields,
    )


def expected(known: Priors, place: Place = HERE) -> Expectation:
    return known.about(place, TYPICAL)


def test_nothing_known_is_what_is_typical() -> None:
    for about in (expected(Priors()), Expectation(None, HERE, TYPICAL)):
        assert about.phase(Phase.BUILDING, PRIOR) == pytest.approx(PRIOR)
        assert about.cold(0.7) == 0.7
        assert about.happens(Phase.PUSHING, 1.0) == 1.0
        assert about.pulls(True, 0.2) == 0.2


def test_a_repository_that_was_launched_takes_as_long_as_then() -> None:
    known = Priors()
    for count in range(5):
        known.add(past(("building", 20.0 + count), ("built", 0), ("launching", 3), at=count))
    here = expected(known).phase(Phase.BUILDING, PRIOR)
    assert here.median == pytest.approx(22, rel=0.1)
    assert here.sigma < 0.45
    # Others learn of it, too, and less surely.
    other = expected(known, Place("host", "other", "")).phase(Phase.BUILDING, PRIOR)
    assert here.median < other.median < PRIOR.median
    assert here.sigma < other.sigma


def test_where_a_launch_goes_need_not_be_known_beforehand() -> None:
    known = Priors()
    for count in range(5):
        known.add(past(("building", 20), ("built", 0), ("launching", 3), at=count))
    anywhere = expected(known, Place("", "repository", "commit"))
    assert anywhere.phase(Phase.BUILDING, PRIOR).median == pytest.approx(20, rel=0.1)
    assert known.has(Place("", "repository"))
    assert not known.has(Place("", "other"))


def test_old_launches_count_less() -> None:
    known = Priors()
    for count in range(20):
        known.add(past(("building", 500), ("built", 0), at=count))
    for count in range(4):
        known.add(past(("building", 50), ("built", 0), at=6 * HALF_LIFE + count))
    assert expected(known).phase(Phase.BUILDING, PRIOR).median < 75


def test_a_step_says_how_much_of_its_phase_is_left() -> None:
    known = Priors()
    slow, quick = numbered(1, 2, digest="slow"), numbered(2, 2, digest="quick")
    for count in range(3):
        spans = ("building", 2), ("building", 60, slow), ("building", 5, quick), ("built", 0)
        known.add(past(*spans, at=count))
    for place in (HERE, Place("host", "other", "other")):
        estimator = Estimator(now=0, expectation=known.about(place, {Phase.BUILDING: 100.0}))
        estimator.update(Phase.BUILDING, None, now=0)
        first = estimator.update(Phase.BUILDING, slow, now=2).eta
        second = estimator.update(Phase.BUILDING, quick, now=70).eta
        assert first == pytest.approx(65, rel=0.25)
        assert second == pytest.approx(5, rel=0.4)


def test_a_step_after_one_that_was_cached_is_another() -> None:
    known = Priors()
    one, two = numbered(1, 2, digest="one"), numbered(2, 2, digest="two")
    there = numbered(1, 2, digest="one", cached=True)
    for count in range(3):
        known.add(past(("building", 30, one), ("building", 40, two), ("built", 0), at=count))
        known.add(past(("building", 0.1, there), ("building", 0.1, two), ("built", 0), at=count))
    etas = []
    for first in (one, there):
        estimator = Estimator(now=0, expectation=known.about(HERE, {Phase.BUILDING: 60.0}))
        estimator.update(Phase.BUILDING, first, now=0)
        etas.append(estimator.update(Phase.BUILDING, two, now=1).eta or 0.0)
    assert etas[0] > 20
    assert etas[1] < 1


def test_whether_an_environment_has_to_be_made() -> None:
    known = Priors()
    known.add(past(("building", 50), ("built", 0), ("launching", 3)))
    for count in range(4):
        known.add(past(("built", 0), ("launching", 3), at=1 + count))
    assert expected(known).cold(0.7) < 0.4
    # A commit that nobody launched before is like the others were when they were new.
    assert expected(known, Place("host", "repository", "new")).cold(0.7) > 0.7
    # What a repository is mostly like, where its commit is not known yet.
    assert expected(known, Place("host", "repository")).cold(0.7) < 0.5


def test_what_was_there_is_there_again() -> None:
    known = Priors()
    known.add(past(("building", 50), outcome="failed"))
    # A build that failed has left nothing.
    assert expected(known).cold(0.7) > 0.7
    known.add(past(("building", 50), ("built", 0), ("launching", 3), at=1))
    assert expected(known).cold(0.7) <= 0.1


REUSED = Step("reused", "")


def test_to_see_that_an_image_is_there_is_no_build() -> None:
    known = Priors()
    for count in range(4):
        spans = ("fetching", 1), ("building", 0.2, REUSED), ("built", 0), ("launching", 3)
        known.add(past(*spans, at=count, cold=False))
    about = expected(known)
    assert about.phase(Phase.BUILDING, PRIOR) == pytest.approx(PRIOR)
    # This builder fetches in any case.
    assert about.fetches_warm(0.0) > 0.5
    estimator = Estimator(now=0, expectation=known.about(HERE, TYPICAL))
    told = estimator.update(Phase.FETCHING, None, now=0)
    assert told.eta is not None
    assert told.eta < 30
    told = estimator.update(Phase.BUILDING, REUSED, now=1)
    assert told.eta == pytest.approx(3.2, abs=0.5)


def test_a_first_start_takes_longer() -> None:
    known, launching = Priors(), LogNormal(log(2.0), 0.5)
    new = known.about(HERE, TYPICAL, first_start=3.0)
    assert new.phase(Phase.LAUNCHING, launching).median == pytest.approx(2)
    assert new.phase(Phase.LAUNCHING, launching, cold=True).median == pytest.approx(6)
    # One that took 12 s says that later ones will take 4 s, more or less.
    known.add(past(("building", 50), ("built", 0), ("launching", 12)))
    warm = known.about(HERE, TYPICAL, first_start=3.0).phase(Phase.LAUNCHING, launching)
    assert 3 < warm.median < 4.2
    for count in range(4):
        known.add(past(("built", 0), ("launching", 11), at=1 + count))
    about = known.about(HERE, TYPICAL, first_start=3.0)
    assert about.phase(Phase.LAUNCHING, launching).median == pytest.approx(11, rel=0.15)
    assert about.phase(Phase.LAUNCHING, launching, cold=True).median < 20


def test_how_far_launches_of_one_repository_differ_is_learned() -> None:
    def sigma(*seconds: float) -> float:
        known = Priors()
        for count, took in enumerate(seconds):
            for name in ("one", "other"):
                place = Place("", name)
                known.add(past(("building", took), ("built", 0), at=count, place=place))
        return expected(known, Place("", "one")).phase(Phase.BUILDING, PRIOR).sigma

    assert sigma(*[20.0, 20.2] * 6) < 0.15
    assert sigma(*[10.0, 40.0] * 6) > 0.5


def test_whether_and_for_how_long_an_image_is_pulled() -> None:
    known = Priors()
    pulling, started = Step("pulling", "Pulling"), Step("starting", "Starting")
    for count in range(6):
        spans = ("launching", 1, Step("scheduled", "")), ("launching", 80, pulling)
        known.add(past(("built", 0), *spans, ("launching", 4, started), at=count))
    here = expected(known)
    assert here.pulls(False, 0.1) > 0.8
    assert here.pulls(True, 0.1) == 0.1
    assert here.pull(LogNormal(log(30), 0.9)).median == pytest.approx(80, rel=0.15)
    # Without the pull: that is counted apart.
    assert here.phase(Phase.LAUNCHING, LogNormal(log(8), 0.9)).median == pytest.approx(5, rel=0.2)
    estimator = Estimator(now=0, expectation=known.about(HERE, {Phase.LAUNCHING: 8.0}))
    estimator.update(Phase.LAUNCHING, None, now=0)
    told = estimator.update(Phase.LAUNCHING, pulling, now=1)
    assert told.eta == pytest.approx(84, rel=0.25)


def test_a_build_that_others_began_is_not_counted_again() -> None:
    known = Priors()
    known.add(past(("building", 3), ("built", 0), ("launching", 2), joined=True))
    about = expected(known)
    assert about.phase(Phase.BUILDING, PRIOR) == pytest.approx(PRIOR)
    assert about.cold(0.3) == 0.3
    assert about.phase(Phase.LAUNCHING, PRIOR).median < PRIOR.median


def test_what_was_cut_off_is_not_how_long_it_takes() -> None:
    def median(seconds: float) -> float:
        known = Priors()
        for count in range(5):
            known.add(past(("building", 100), ("built", 0), at=count))
        for count in range(5):
            known.add(past(("building", seconds), at=10 + count, outcome="failed"))
        return expected(known).phase(Phase.BUILDING, PRIOR).median

    # Early it says nothing; late it says that it can take longer.
    assert median(1.0) == pytest.approx(100, rel=0.02)
    assert median(1000.0) > 150
    # Far beyond all that is usual a normal has no digits left.
    assert isfinite(median(1e9))


def test_phases_before_a_bad_end_count() -> None:
    known = Priors()
    known.add(past(("fetching", 40), ("building", 5), outcome="failed"))
    known.add(past(("waiting", 4), outcome="cancelled"))
    known.add(past(outcome="cancelled"))
    assert expected(known).phase(Phase.FETCHING, LogNormal(log(4), 0.9)).median > 15


def test_the_longest_unused_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowledge, "MOST_PLACES", 3)
    known = Priors()
    for name in ("a", "b", "a", "c"):
        known.add(past(("building", 10), ("built", 0), place=Place("", name)))
    assert known.has(Place("", "a"))
    assert known.has(Place("", "c"))
    assert not known.has(Place("", "b"))
    assert known.has(Place())


def test_the_same_launches_teach_the_same_again() -> None:
    launches = [past(("building", 10.0 + n), ("built", 0), at=float(n)) for n in range(9)]
    one, other = Priors(), Priors()
    for launch in launches:
        one.add(launch)
        other.add(launch)
    assert expected(one).phase(Phase.BUILDING, PRIOR) == expected(other).phase(
        Phase.BUILDING, PRIOR
    )


@given(
    st.lists(
        st.tuples(st.floats(0, 1e9), st.floats(0, 1e9), st.booleans(), st.booleans()), max_size=20
    )
)
def test_whatever_was_seen_an_expectation_is_one(
    launches: list[tuple[float, float, bool, bool]],
) -> None:
    known = Priors()
    for at, seconds, ready, cold in launches:
        spans = [("building", seconds), ("built", 0), ("launching", 2)]
        known.add(past(*spans[not cold :], at=at, outcome="ready" if ready else "failed"))
    about = expected(known)
    duration = about.phase(Phase.BUILDING, PRIOR)
    assert isfinite(exp(duration.mu))
    assert 0 < duration.sigma < 50
    assert 0 <= about.cold(0.5) <= 1
