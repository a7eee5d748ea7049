"""A server that cannot start is reported before its Hub gives up."""

from __future__ import annotations

import asyncio

import pytest

from binderprogress.core.log.diagnosis import Diagnosis
from binderprogress.core.log.reader import Note
from binderprogress.core.log.reasons import RULES, Rule
from binderprogress.launches.stuck_spawn import StuckSpawn

from ..support.asynchronous import asynchronous

PULL = 'Failed to pull image "kim/lab:2": rpc error: code = NotFound desc = not found\n'
BACKOFF = 'Back-off pulling image "kim/lab:2"\n'
BAD_NAME = 'Failed to apply default image tag "Kim/Lab:1": couldn\'t parse image name "Kim/Lab:1"\n'
AGES = 3600.0


class Reports(list[Diagnosis | None]):
    """What was reported, and an event for the first report."""

    def __init__(self) -> None:
        super().__init__()
        self.first = asyncio.Event()

    def __call__(self, diagnosis: Diagnosis | None) -> None:
        self.append(diagnosis)
        self.first.set()

    @property
    def subjects(self) -> list[str | None]:
        return [one and one.subject for one in self]


@pytest.fixture
def reports() -> Reports:
    return Reports()


def watch(reports: Reports, patience: float) -> StuckSpawn:
    return StuckSpawn(RULES, patience=patience, report=reports)


def read(stuck: StuckSpawn, *messages: str, pod: str = "") -> None:
    for message in messages:
        stuck.read(Note(message=message, pod=pod))


async def turns() -> None:
    """Let timers that are due run."""
    for _ in range(3):
        await asyncio.sleep(0)


@asynchronous(10)
async def test_a_name_that_is_no_image_is_reported_at_once(reports: Reports) -> None:
    with watch(reports, AGES) as stuck:
        read(stuck, "Successfully assigned default/kim to node-1\n", BAD_NAME)
        assert [one and one.reason for one in reports] == ["image-name-invalid"]
        read(stuck, BAD_NAME, BAD_NAME)
        assert reports.subjects == ["Kim/Lab:1"]


@asynchronous(10)
async def test_a_pull_that_fails_is_reported_after_a_while(reports: Reports) -> None:
    with watch(reports, 0.01) as stuck:
        read(stuck, PULL, "Error: ErrImagePull\n", BACKOFF, "Error: ImagePullBackOff\n")
        assert not reports
        await reports.first.wait()
        assert reports.subjects == ["kim/lab:2"]
        assert reports[0] is not None
        assert (reports[0].fault, reports[0].retry) == ("server", False)


@asynchronous(10)
async def test_what_is_overcome_in_time_is_not_reported(reports: Reports) -> None:
    with watch(reports, 0.0) as stuck:
        read(stuck, PULL, BACKOFF, 'Successfully pulled image "kim/lab:2" in 9.1s\n')
        await turns()
        assert not reports


@asynchronous(10)
async def test_that_it_was_overcome_is_reported_too(reports: Reports) -> None:
    with watch(reports, 0.0) as stuck:
        read(stuck, PULL)
        await turns()
        read(stuck, "Pulling image\n", 'Successfully pulled image "kim/lab:2" in 9.1s\n')
        assert reports.subjects == ["kim/lab:2", None]
        read(stuck, BAD_NAME)
        assert reports.subjects[2:] == ["Kim/Lab:1"]


@asynchronous(10)
async def test_an_earlier_pod_does_not_count(reports: Reports) -> None:
    with watch(reports, 0.0) as stuck:
        read(stuck, PULL, BACKOFF, pod="first")
        read(stuck, "Successfully assigned default/kim to node-1\n", pod="second")
        await turns()
        assert not reports


@asynchronous(10)
async def test_an_earlier_attempt_does_not_count(reports: Reports) -> None:
    with watch(reports, 0.0) as stuck:
        read(stuck, PULL)
        stuck.restart()
        await turns()
        assert not reports


@asynchronous(10)
async def test_nothing_is_reported_after_the_end(reports: Reports) -> None:
    with watch(reports, 0.0) as stuck:
        read(stuck, PULL)
    await turns()
    assert not reports


@asynchronous(10)
async def test_lines_without_a_rule_say_nothing(reports: Reports) -> None:
    with watch(reports, 0.0) as stuck:
        read(stuck, "0/2 nodes are available: 2 Insufficient cpu.\n", "Server requested\n", "\n")
        await turns()
        assert not reports


@pytest.mark.parametrize("rule", [rule for rule in RULES.rules if rule.stuck == "later"])
def test_rules_say_how_they_are_overcome(rule: Rule) -> None:
    # A crash loop starts the container again and again: only a ready server overcomes it.
    assert rule.overcome or rule.id == "crash-loop"
