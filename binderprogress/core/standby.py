"""Which servers stand ready: how many are started of what, and which are stopped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum

import msgspec

__all__ = ["Limits", "Plan", "Standing", "State", "Wanted", "plan", "popular", "share"]


class State(StrEnum):
    """What a server does."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """How many servers of an environment shall stand ready.

    Attributes
    ----------
    key : str
        Identifies the environment: a repository at one commit.
    count : int
    """

    key: str
    count: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A server that was started ahead.

    Attributes
    ----------
    id : str
    key : str
        As of `Wanted`.
    state : State
    age : float
        Seconds since it was requested.
    """

    id: str
    key: str
    state: State
    age: float


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of all servers together.

    Attributes
    ----------
    most : int
        Servers, with those that are starting and stopping.
    starts : int
        Servers that start at the same time.
    max_age : float
        Seconds after which a server is stopped. It is replaced after `RENEWAL` of them.
    """

    most: int
    starts: int
    max_age: float


class Plan(msgspec.Struct, frozen=True):
    """What is to be done now.

    Attributes
    ----------
    start : list of str
        The keys of the servers to start, one for each server.
    stop : list of str
        The ids of the servers to stop.
    """

    start: list[str]
    stop: list[str]


RENEWAL = 0.8
"""The share of its maximum age after which a server is replaced. Until its successor is ready, it
can still be handed out."""


_HALF_LIFE = 7 * 86400.0
"""Seconds after which a launch counts half."""


def popular(
    launches: Iterable[tuple[str, str, float]], *, now: float, most: int
) -> list[tuple[str, str]]:
    """Return the repositories and refs that were launched most, the first ones first.

    Parameters
    ----------
    launches : iterable of tuple
        Address of the repository, ref, and when it was launched, in seconds since 1970.
    now : float
        Seconds since 1970. A launch counts half after a week.
    most : int
    """
    scores: dict[tuple[str, str], float] = defaultdict(float)
    for address, ref, began in launches:
        scores[address, ref] += 2.0 ** (-max(now - began, 0.0) / _HALF_LIFE)
    return sorted(scores, key=lambda one: (-scores[one], one))[:most]


def share(wanted: Sequence[Wanted], most: int) -> dict[str, int]:
    """Share a number of servers among those who want some, in turn, the first ones first.

    Parameters
    ----------
    wanted : sequence of Wanted
        The most important ones first. If there are several of one key, their counts are added.
    most : int

    Returns
    -------
    dict of str to int
        The number of servers by key, 0 included.
    """
    left: dict[str, int] = {}
    for each in wanted:
        left[each.key] = left.get(each.key, 0) + max(each.count, 0)
    shares = dict.fromkeys(left, 0)
    while most > 0 and any(left.values()):
        for key, count in left.items():
            if count and most > 0:
                shares[key] += 1
                left[key] -= 1
                most -= 1
    return shares


def plan(
    wanted: Sequence[Wanted],
    standing: Sequence[Standing],
    limits: Limits,
    *,
    held: Collection[str] = (),
) -> Plan:
    """Return which servers to start and to stop.

    Parameters
    ----------
    wanted : sequence of Wanted
        The most important ones first.
    standing : sequence of Standing
        All servers that use resources.
    limits : Limits
    held : collection of str
        Keys of which nothing is started now, such as after a failure.
    """
    shares = share(wanted, limits.most)
    stop: list[str] = []
    needs: dict[str, int] = {}
    old: dict[str, list[Standing]] = {}
    for key, count in shares.items():
        of_key = [one for one in standing if one.key == key and one.state is not State.STOPPING]
        of_key.sort(key=lambda one: one.age)
        kept = [one for one in of_key if one.age < limits.max_age]
        fresh = [one for one in kept if one.age < RENEWAL * limits.max_age]
        aged = kept[len(fresh) :]
        # The oldest are stopped, and before them those that are not ready yet.
        surplus = sorted(fresh, key=lambda one: (one.state is State.STARTING, one.age))[count:]
        ready = sum(one.state is State.READY for one in fresh)
        if ready >= count:
            # Their successors are ready.
            surplus += aged
            aged = []
        stop += [one.id for one in [*of_key[len(kept) :], *surplus]]
        needs[key], old[key] = max(count - len(fresh), 0), aged
    stop += [
        one.id for one in standing if one.key not in shares and one.state is not State.STOPPING
    ]
    # What is stopping uses resources until it is gone.
    room = limits.most - len(standing)
    slots = limits.starts - sum(one.state is State.STARTING for one in standing)
    start = _start(needs, room=room, slots=slots, held=held)
    if not stop and room <= 0 and slots > 0:
        stop += _make_way(needs, old, standing, held)
    return Plan(start, stop)


def _start(needs: dict[str, int], *, room: int, slots: int, held: Collection[str]) -> list[str]:
    """Return what to start, in turn."""
    left = {key: count for key, count in needs.items() if key not in held}
    start: list[str] = []
    while len(start) < min(room, slots) and any(left.values()):
        for key, count in left.items():
            if count and len(start) < min(room, slots):
                start.append(key)
                left[key] -= 1
    return start


def _make_way(
    needs: dict[str, int],
    old: dict[str, list[Standing]],
    standing: Sequence[Standing],
    held: Collection[str],
) -> list[str]:
    """Return the oldest server that is to be replaced, where there is no room for both.

    One after the other: servers that were started together would otherwise be missing together.
    """
    if any(one.state is not State.READY for one in standing):
        return []
    due = [one for key, count in needs.items() if count and key not in held for one in old[key]]
    return [max(due, key=lambda one: one.age).id] if due else []
