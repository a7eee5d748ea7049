"""The checker of invariants accepts what is right, and names each thing that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from binderprogress.core.events import Curve, Event, encode
from binderprogress.core.phases import Phase

from .invariants import (
    Connection,
    Launched,
    Server,
    View,
    World,
    Written,
    check,
    problems_of_events,
    problems_of_launch,
    problems_of_world,
    written,
)

URL = "http://hub.invalid/user/ada/"


def event(number: int, phase: Phase = Phase.WAITING, **fields: Any) -> Event:
    defaults = {"time": 1000.0 + number, "elapsed": float(number), "progress": float(number)}
    return Event(id=number, phase=phase, **{**defaults, **fields})


def stream() -> list[Event]:
    return [
        event(1),
        event(2, Phase.BUILDING, message="a line\n", curve=Curve(from_=2.0, to=3.0, tau=9.0)),
        event(3, Phase.BUILT),
        event(4, Phase.LAUNCHING),
        event(5, Phase.READY, progress=100.0, url=URL, token="secret"),
    ]


def pairs(events: list[Event]) -> list[Written]:
    return [(each.id, encode(each)) for each in events]


def launched(events: list[Event] | None = None) -> Launched:
    """A launch with one viewer that stayed, and one that reconnected after event 3."""
    seen = pairs(stream() if events is None else events)
    return Launched(
        "launch",
        [
            View("stayed", [Connection(0, list(seen))]),
            View("resumed", [Connection(0, seen[:3]), Connection(3, seen[3:])]),
        ],
    )


def world() -> World:
    return World(
        servers=[Server("ada", launch="launch", url=URL)],
        channels={"launch.head": "launch"},
        known_leases=["launch"],
    )


def test_what_is_right_is_accepted() -> None:
    launch = launched()
    # Whoever reconnects after the end gets it again, and some only look in.
    launch.views[0].connect().events.append(launch.views[0].connections[0].events[-1])
    launch.views.append(View("short", [Connection(0, pairs(stream())[:2])], stayed=False))
    check([launch], world())


def test_a_failed_start_may_be_tried_again() -> None:
    tried = world()
    tried.servers[0].starts, tried.servers[0].failures = 3, 2
    check([launched()], tried)


def test_events_are_read_from_the_wire() -> None:
    encoded = encode(event(7))
    assert written(b": keepalive\n\nid: 7\ndata: " + encoded + b"\n\nid: 8\nda") == [(7, encoded)]


def _gap(views: list[View]) -> None:
    del views[0].connections[0].events[2]


def _twice(views: list[View]) -> None:
    events = views[0].connections[0].events
    events.insert(2, events[1])


def _again(views: list[View]) -> None:
    events = views[0].connections[0].events
    views[1].connections[1].events.insert(0, events[2])


def _missed(views: list[View]) -> None:
    del views[1].connections[1].events[0]


def _elsewhere(views: list[View]) -> None:
    views[1].connections[1].after = 2
    views[1].connections[1].events.insert(0, views[0].connections[0].events[2])


def _other_bytes(views: list[View]) -> None:
    changed = msgspec.structs.replace(stream()[1], message="another line\n")
    views[1].connections[0].events[1] = (2, encode(changed))


def _no_end(views: list[View]) -> None:
    views[1].connections[1].events.pop()


def _garbage(views: list[View]) -> None:
    for view in views:
        view.connections[0].events[1] = (2, b"{}")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (_gap, "stayed got event 4 where 3 was next"),
        (_twice, "stayed got event 2 where 3 was next"),
        (_again, "resumed got event 3 where 4 was next"),
        (_missed, "resumed got event 5 where 4 was next"),
        (_elsewhere, "resumed asked for what follows 2, not 3"),
        (_other_bytes, "event 2 of resumed is not that of stayed"),
        (_no_end, "resumed did not see the end: its last event is 4"),
        (_garbage, "This is not an event"),
    ],
)
def test_each_problem_of_viewers_is_named(
    spoil: Callable[[list[View]], None], problem: str
) -> None:
    launch = launched()
    spoil(launch.views)
    assert any(f"launch: {problem}" in found for found in problems_of_launch(launch))
    with pytest.raises(AssertionError, match=problem):
        check([launch], world())


@pytest.mark.parametrize(
    ("number", "fields", "problem"),
    [
        (3, {"progress": 1.0}, "the bar goes back"),
        (3, {"progress": 2.05}, "the bar goes back from 2.105"),
        (4, {"time": 1000.0}, "the time goes back to 1000.0 at event 4"),
        (4, {"phase": Phase.FETCHING}, "fetching follows built at event 4"),
        (2, {"attempt": 2}, "attempt 1 follows 2 at event 3"),
        (3, {"phase": Phase.FAILED}, "it ends 2 times, with the events [3, 5]"),
        (5, {"id": 6}, "its events have the numbers [1, 2, 3, 4, 6]"),
    ],
)
def test_each_problem_of_events_is_named(number: int, fields: dict[str, Any], problem: str) -> None:
    events = stream()
    events[number - 1] = msgspec.structs.replace(events[number - 1], **fields)
    assert any(problem in found for found in problems_of_events(events))


def test_nothing_may_follow_the_end() -> None:
    events = [*stream()[:4], event(5, Phase.CANCELLED), event(6, Phase.LAUNCHING)]
    assert "event 5 is its end, and 6 follows" in problems_of_events(events)


def _second_start(world: World) -> None:
    world.servers[0].starts = 2


def _second_server(world: World) -> None:
    world.servers.append(Server("bob", launch="launch", url="http://other/", is_running=False))


def _stopped(world: World) -> None:
    world.servers[0].is_running = False


def _orphan(world: World) -> None:
    world.servers.append(Server("eve", url="http://hub.invalid/user/eve/"))


def _build(world: World) -> None:
    world.builds = ["repository@commit"]


def _lease(world: World) -> None:
    world.leases = ["launch.1"]


def _channel(world: World) -> None:
    world.known_leases = []


def _other(world: World) -> None:
    world.others = ["the process 4711"]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (_second_start, "the server ada was started 2 times"),
        (_second_server, "launch: 2 servers were started for it"),
        (_stopped, f"launch: its server {URL} does not run"),
        (_orphan, "the server eve runs, and nobody got it"),
        (_build, "the build repository@commit still runs"),
        (_lease, "the lease launch.1 has not ended"),
        (_channel, "the channel launch.head is left of launch"),
        (_other, "the process 4711 is left behind"),
    ],
)
def test_each_problem_of_the_world_is_named(spoil: Callable[[World], None], problem: str) -> None:
    spoiled = world()
    spoil(spoiled)
    assert problem in problems_of_world([launched()], spoiled)


def test_two_launches_cannot_have_the_same_server() -> None:
    second = launched()
    second.name = "second"
    problem = f"launch and second have the same server, {URL}"
    assert problem in problems_of_world([launched(), second], world())
