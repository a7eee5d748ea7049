"""BinderHub's event archive."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from binderprogress.errors import ConfigError
from binderprogress.whatif.demand import Demand
from binderprogress.whatif.event_log import EventLog, LoggedLaunch, read_event
from binderprogress.whatif.policy import Hubs, Policy

NOON = 1_798_804_800.0
EVENT = {
    "timestamp": "2027-01-01T12:34:00+00:00",
    "schema": "binderhub.jupyter.org/launch",
    "version": 5,
    "provider": "GitHub",
    "spec": "ada/penguins/main",
    "ref": "a" * 40,
    "status": "success",
    "origin": "example.org",
}


def line(**values: Any) -> bytes:
    return json.dumps({**EVENT, **values}).encode() + b"\n"


def test_a_line_is_read() -> None:
    wanted = LoggedLaunch(NOON + 34 * 60, "GitHub/ada/penguins", "a" * 40, "example.org")
    assert read_event(line()) == wanted
    # Before version 3, the commit was not there.
    old = {key: value for key, value in EVENT.items() if key != "ref"}
    launch = read_event(json.dumps({**old, "timestamp": "2019-01-01T12:34:00"}).encode())
    assert launch is not None
    assert launch.commit == "main"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        line(status="failure"),
        line(schema="other"),
        line(timestamp="noon"),
        line(spec=None),
    ],
)
def test_other_lines_are_none(text: bytes) -> None:
    assert read_event(text) is None


def test_a_log_is_launched() -> None:
    launches = [
        LoggedLaunch(NOON + 60.0 * minute, repository, commit)
        for minute, repository, commit in [
            (-1440, "a", "1"),
            (0, "a", "1"),
            (5, "b", "1"),
            (9, "b", "2"),
            (1440, "b", "3"),
        ]
    ]
    source = EventLog(launches, began=NOON, ended=NOON + 86400.0, policy=Policy())
    demand = source.draw(Random(1))
    assert [request.time // 60 for request in demand.requests] == [0, 5, 9]
    assert demand.repositories == ["a", "b"]
    # The first commit of a repository is taken to be there.
    assert [image.is_built for image in demand.images] == [True, True, False]
    assert demand.scores == [pytest.approx(2 ** (-1 / 14)), 0.0]
    assert source.draw(Random(2)) != demand
    assert source.draw(Random(1)) == demand


def test_launches_go_to_the_hubs_that_they_went_to() -> None:
    hosts = ["two", "one", "two", "two"]
    launches = [LoggedLaunch(NOON + 60.0 * n, "a", "1", host) for n, host in enumerate(hosts)]

    def drawn(count: int) -> Demand:
        policy = Policy(hubs=Hubs(count=count, routing="random"))
        log = EventLog(launches, began=NOON, ended=NOON + 86400.0, policy=policy)
        assert log.hubs == ["one", "two"]
        return log.draw(Random(1))

    assert [request.hub for request in drawn(2).requests] == [1, 0, 1, 1]
    assert drawn(2).hubs == Hubs(count=2, routing="random")
    # With another number of hubs, the policy decides.
    assert {request.hub for request in drawn(3).requests} == {-1}
    assert drawn(3).hubs is None


def test_an_empty_period_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no successful launches in this period"):
        EventLog([], began=NOON, ended=NOON + 86400.0, policy=Policy())
