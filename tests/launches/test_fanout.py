"""Viewers: a place in a launch, from which nothing is missed and nothing told twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from binderprogress.core.estimate import TYPICAL
from binderprogress.core.knowledge import Expectation, Place
from binderprogress.core.phases import Phase
from binderprogress.core.specs import parse
from binderprogress.launches import Caller, Launch, Viewer
from binderprogress.launches.writer import Clock, Limits

from .parts import gen_test


@pytest.fixture
def launch() -> Launch:
    """A launch with 5 events that goes on."""
    launch = Launch(
        "id",
        parse("gh/a/b/HEAD"),
        caller=Caller(),
        clock=Clock(),
        limits=Limits(),
        expectation=Expectation(None, Place(), TYPICAL),
    )
    for number in range(2, 6):
        launch.tail().append(Phase.WAITING, f"line {number}\n")
    return launch


def numbers(viewer: Viewer, limit: int = 1000) -> list[int]:
    return [encoded.event.id for encoded in viewer.read(limit)]


@pytest.mark.parametrize(
    ("after", "expected"),
    [(0, [1, 2, 3, 4, 5]), (3, [4, 5]), (5, []), (-7, [1, 2, 3, 4, 5])],
)
def test_it_reads_what_comes_after_a_number(
    launch: Launch, after: int, expected: list[int]
) -> None:
    viewer = Viewer(launch, after)
    assert numbers(viewer) == expected
    assert numbers(viewer) == []
    assert not viewer.done


def test_a_number_from_the_future_waits_for_the_next_event(launch: Launch) -> None:
    viewer = Viewer(launch, 99)
    assert numbers(viewer) == []
    launch.tail().append(Phase.WAITING)
    assert numbers(viewer) == [6]


@pytest.mark.parametrize("after", [5, 6, 7, 99])
def test_who_comes_back_after_the_end_gets_the_end_again(launch: Launch, after: int) -> None:
    launch.tail().cancel("cancelled")
    viewer = Viewer(launch, after)
    assert numbers(viewer) == [6]
    assert viewer.done


def test_it_reads_in_portions_over_all_parts_of_a_launch(launch: Launch) -> None:
    viewer = Viewer(launch, 0)
    read = [numbers(viewer, 2) for _ in range(4)]
    assert read == [[1, 2], [3, 4], [5], []]


def test_viewers_are_counted_and_their_coming_and_going_is_told(launch: Launch) -> None:
    told: list[int] = []
    launch.watched.add(lambda: told.append(launch.viewers))
    with Viewer(launch, 0), Viewer(launch, 0):
        assert launch.viewers == 2
    assert told == [1, 2, 1, 0]


async def wakes(launch: Launch, act: Callable[[Viewer], object]) -> bool:
    with Viewer(launch, launch.last.id) as viewer:
        assert viewer.read() == []
        act(viewer)
        return await viewer.wait(5)


@gen_test
async def test_an_event_an_end_and_leaving_wake_it(io_loop: object, launch: Launch) -> None:
    assert await wakes(launch, lambda _: launch.tail().append(Phase.WAITING))
    assert await wakes(launch, lambda viewer: viewer.leave())
    assert await wakes(launch, lambda _: launch.tail().cancel("cancelled"))


@gen_test
async def test_silence_is_noticed(io_loop: object, launch: Launch) -> None:
    with Viewer(launch, 5) as viewer:
        assert not await viewer.wait(0.01)


@gen_test
async def test_what_came_before_it_was_read_does_not_wake_it_again(
    io_loop: object, launch: Launch
) -> None:
    with Viewer(launch, 5) as viewer:
        launch.tail().append(Phase.WAITING)
        assert numbers(viewer) == [6]
        assert not await viewer.wait(0.01)
