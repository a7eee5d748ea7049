"""Priors from the history, and from launches that end."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path

import msgspec
import pytest

from binderprogress.backends.base import BackendProfile
from binderprogress.core.phases import Phase
from binderprogress.core.timing.estimator import TYPICAL
from binderprogress.core.timing.lognormal import LogNormal
from binderprogress.core.timing.priors import Place
from binderprogress.core.timing.spans import PastLaunch, Span
from binderprogress.history.database import Database
from binderprogress.history.store import NoHistory
from binderprogress.launches.learner import Learner

from .parts import gen_test

PRIOR = LogNormal(4.8, 0.9)
PROFILE = BackendProfile(typical=TYPICAL)
LOG = logging.getLogger(__name__)


def past(repository: str, seconds: float, at: float = 0.0) -> PastLaunch:
    spans = [Span(Phase.BUILDING, 0, seconds), Span(Phase.LAUNCHING, seconds, seconds + 2)]
    return PastLaunch(
        began=at,
        provider="git",
        repository=repository,
        outcome=Phase.READY,
        cold=True,
        spans=spans,
    )


def median(learner: Learner, repository: str) -> float:
    about = learner.about(Place("", repository), TYPICAL)
    return about.phase(Phase.BUILDING, PRIOR).median


class Played(NoHistory):
    """A history whose answers a test controls."""

    def __init__(self, *launches: PastLaunch) -> None:
        self.launches = launches
        self.asked: list[str] = []

    def of(self, repository: str, limit: int) -> list[PastLaunch]:
        self.asked.append(repository)
        return [launch for launch in self.launches if launch.repository == repository][:limit]


def test_it_learns_from_a_history_and_from_what_ends(tmp_path: Path) -> None:
    history = Database(f"sqlite:///{tmp_path}/history.sqlite", log=LOG)
    for count in range(5):
        history.add(past("https://example.org/a", 12.0, at=1e9 + count))
    history.close()
    learner = Learner(LOG, PROFILE)
    again = Database(f"sqlite:///{tmp_path}/history.sqlite", log=LOG)
    learner.open(again)
    again.close()
    assert median(learner, "https://example.org/a") == pytest.approx(12, rel=0.15)
    for count in range(9):
        learner.add(past("https://example.org/a", 40.0, at=1e9 + 10 + count))
    assert median(learner, "https://example.org/a") > 20


@gen_test
async def test_a_repository_that_is_not_among_the_newest_is_looked_up_once() -> None:
    history = Played(*[past("a", 12.0, at=count) for count in range(5)])
    learner = Learner(LOG, PROFILE)
    learner.open(history)
    before = median(learner, "a")
    for _ in range(2):
        await learner.look_up("a")
        await learner.look_up("b")
    assert history.asked == ["a", "b"]
    assert median(learner, "a") < before / 3


@gen_test
async def test_it_knows_the_commits_of_branches_from_the_history_and_from_what_ends() -> None:
    class Recent(Played):
        def recent(self, limit: int) -> list[PastLaunch]:
            return [at("a", "1", 1)]

    def at(repository: str, digit: str, began: float) -> PastLaunch:
        launch = past(repository, 1.0, began)
        return msgspec.structs.replace(launch, ref="HEAD", commit=digit * 40)

    def commits(repository: str) -> list[str]:
        seen = learner.branches.before(repository, "HEAD", "")
        return [one.commit[0] for one in seen]

    learner = Learner(LOG, PROFILE)
    learner.open(Recent(at("b", "2", 2)))
    assert (commits("a"), commits("b")) == (["1"], [])
    await learner.look_up("b")
    assert commits("b") == ["2"]
    learner.add(at("b", "3", 3))
    assert commits("b") == ["3", "2"]


@gen_test
async def test_one_that_cannot_be_read_is_no_reason_not_to_launch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(NoHistory):
        def recent(self, limit: int) -> list[PastLaunch]:
            raise OSError("The disk is gone")

        def of(self, repository: str, limit: int) -> list[PastLaunch]:
            raise OSError("The disk is gone")

    learner = Learner(LOG, PROFILE)
    learner.open(Broken())
    await learner.look_up("a")
    assert median(learner, "a") == pytest.approx(PRIOR.median)
    assert [record.message for record in caplog.records if record.name == LOG.name] == [
        "The history cannot be read; estimates begin anew",
        "The history of a cannot be read",
    ]


@gen_test
async def test_a_slow_history_delays_no_launch_and_still_teaches_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, LOG.name)
    go_on = threading.Event()

    class Slow(Played):
        def of(self, repository: str, limit: int) -> list[PastLaunch]:
            go_on.wait(30)
            return super().of(repository, limit)

    history = Slow(*[past("a", 12.0, at=count) for count in range(5)])
    learner = Learner(LOG, PROFILE)
    learner.open(history)
    before = median(learner, "a")
    try:
        await learner.look_up("a")
        assert median(learner, "a") == before
    finally:
        go_on.set()
    assert "The history of a takes long; the launch goes on without" in caplog.messages
    # The query continues, and the next launch uses its result.
    await learner.look_up("a")
    assert median(learner, "a") < before / 3
    assert history.asked == ["a"]


@gen_test
async def test_a_history_that_failed_once_is_asked_again() -> None:
    class Flaky(Played):
        def of(self, repository: str, limit: int) -> list[PastLaunch]:
            launches = super().of(repository, limit)
            if len(self.asked) == 1:
                raise OSError("The connection is gone")
            return launches

    history = Flaky(*[past("a", 12.0, at=count) for count in range(5)])
    learner = Learner(LOG, PROFILE)
    learner.open(history)
    before = median(learner, "a")
    await learner.look_up("a")
    await learner.look_up("a")
    assert history.asked == ["a", "a"]
    assert median(learner, "a") < before / 3


@gen_test
async def test_a_history_that_hangs_takes_a_few_threads_only() -> None:
    go_on = threading.Event()

    class Hanging(Played):
        def of(self, repository: str, limit: int) -> list[PastLaunch]:
            go_on.wait(30)
            return super().of(repository, limit)

    history = Hanging()
    learner = Learner(LOG, PROFILE)
    learner.open(history)
    try:
        await asyncio.gather(*[learner.look_up(str(number)) for number in range(20)])
    finally:
        go_on.set()
    await asyncio.gather(*[learner.look_up(str(number)) for number in range(4)])
    assert len(history.asked) == 4
