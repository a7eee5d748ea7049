"""The queue of builds: whose turn it is, and how long others wait."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from binderprogress.core.build_queue import (
    Place,
    Ticket,
    begin,
    next_ticket,
    place_message,
    place_step,
    places,
)


class Queue:
    """Tickets as a store keeps them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.tickets: dict[int, Ticket] = {}

    def add(self, *builds: str, seconds: float = 60.0) -> None:
        """Add builds, each named after its owner: `ada/1`."""
        for build in builds:
            self.join(build, build.partition("/")[0], seconds)

    def join(self, build: str, owner: str, seconds: float = 60.0) -> None:
        tickets = self.tickets.values()
        ticket = next_ticket(tickets, build=build, owner=owner, seconds=seconds)
        self.tickets[ticket.number] = ticket

    def begin(self, build: str) -> bool:
        changed = begin(list(self.tickets.values()), build, self.most)
        self.tickets.update((ticket.number, ticket) for ticket in changed)
        return bool(changed)

    def end(self, build: str) -> None:
        self.tickets = {n: each for n, each in self.tickets.items() if each.build != build}

    def places(self) -> dict[str, Place]:
        return places(list(self.tickets.values()), self.most)

    def finish(self) -> list[str]:
        """Let all builds run, one after the other, and return them in the order they began in."""
        order = []
        while any(ticket.running is None for ticket in self.tickets.values()):
            (build,) = [build for build in self.places() if self.begin(build)]
            order.append(build)
            self.end(build)
        return order


def test_builds_of_one_owner_begin_in_the_order_in_which_they_came() -> None:
    queue = Queue(1)
    queue.add("ada/1", "ada/2", "ada/3")
    assert list(queue.places()) == ["ada/1", "ada/2", "ada/3"]
    assert [queue.begin(build) for build in ("ada/2", "ada/1", "ada/1", "nobody")] == [
        False,
        True,
        False,
        False,
    ]
    assert list(queue.places()) == ["ada/2", "ada/3"]


def test_somebody_with_twenty_builds_does_not_make_others_wait_for_all() -> None:
    queue = Queue(1)
    queue.add(*(f"ada/{number}" for number in range(20)))
    assert queue.begin("ada/0")
    queue.add("grace/1", "grace/2", "alan/1")
    assert list(queue.places())[:6] == ["ada/1", "grace/1", "alan/1", "ada/2", "grace/2", "ada/3"]
    queue.end("ada/0")
    assert queue.finish()[:6] == ["ada/1", "grace/1", "alan/1", "ada/2", "grace/2", "ada/3"]


def test_who_has_just_had_a_turn_comes_after_the_others() -> None:
    queue = Queue(1)
    queue.add("ada/1", "ada/2", "grace/1")
    assert queue.begin("ada/1")
    queue.end("ada/1")
    assert list(queue.places()) == ["grace/1", "ada/2"]
    queue.add("ada/3")
    assert list(queue.places()) == ["grace/1", "ada/2", "ada/3"]


def test_nobody_waits_for_ever_while_others_keep_coming() -> None:
    queue = Queue(1)
    queue.add("ada/1", "ada/2")
    assert queue.begin("ada/1")
    queue.end("ada/1")
    for number in range(10):
        queue.add(f"new{number}/1")
        first = next(iter(queue.places()))
        assert queue.begin(first)
        queue.end(first)
        if first == "ada/2":
            return
    pytest.fail("ada/2 never began")


def test_a_build_takes_the_turn_of_any_owner_who_needs_it() -> None:
    queue = Queue(1)
    queue.add("ada/1", "ada/2", "ada/3")
    assert queue.begin("ada/1")
    queue.join("ada/3", "grace")
    queue.add("grace/1")
    # It is no turn of ada, and grace has had hers.
    assert list(queue.places()) == ["ada/2", "ada/3", "grace/1"]
    queue.end("ada/1")
    assert queue.finish() == ["ada/2", "ada/3", "grace/1"]


def test_the_places_are_those_in_which_builds_begin() -> None:
    random = Random(1)  # noqa: S311 - no secret
    for _ in range(200):
        queue = Queue(1)
        owners = random.choice(["ab", "abc", "abcdefg"])
        for number in range(random.randint(1, 12)):
            build = f"{random.choice(owners)}/{number}"
            queue.add(build)
            if random.random() < 0.2:
                queue.join(build, random.choice(owners) + "2")
        said = list(queue.places())
        assert queue.finish() == said
        assert not queue.tickets


def test_as_many_begin_as_may_run() -> None:
    queue = Queue(3)
    queue.add("a/1", "b/1", "c/1", "d/1")
    assert [place.is_next for place in queue.places().values()] == [True, True, True, False]
    # They need not begin in their order, if one of them belongs to a replica that is slow.
    assert [queue.begin(build) for build in ("d/1", "c/1", "a/1", "b/1", "d/1")] == [
        False,
        True,
        True,
        True,
        False,
    ]
    queue.end("a/1")
    assert queue.begin("d/1")


def test_the_wait_is_that_for_the_builds_before_it() -> None:
    queue = Queue(2)
    queue.add("a/1", "b/1", seconds=100.0)
    assert queue.begin("a/1")
    assert queue.begin("b/1")
    queue.add("c/1", seconds=50.0)
    queue.add("d/1", "e/1", seconds=10.0)
    waits = {build: place.seconds for build, place in queue.places().items()}
    assert waits == pytest.approx({"c/1": 100.0, "d/1": 100.0, "e/1": 110.0})
    # One of them has run for long, and is expected to end earlier than the other one.
    number = next(n for n, ticket in queue.tickets.items() if ticket.build == "a/1")
    queue.tickets[number] = msgspec.structs.replace(queue.tickets[number], running=60.0)
    assert queue.places()["c/1"].seconds < 90.0
    # After the limit was lowered, two have to end before one begins.
    lowered = places(list(queue.tickets.values()), 1)
    assert lowered["c/1"].seconds == pytest.approx(100.0)
    assert not lowered["c/1"].is_next


def test_what_people_read() -> None:
    step = place_step(3)
    assert (step.key, step.label, step.is_place) == ("queued", "Number 3 in the queue", True)
    assert place_message(Place(3, 125.0, False)) == (
        "Other builds are running. Number 3 in the queue, about 2 minutes.\n"
    )
    assert "about a minute" in place_message(Place(1, 62.0, False))
    assert "less than a minute" in place_message(Place(1, 12.0, False))
