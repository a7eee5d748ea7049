"""Which servers are started ahead, and which are stopped."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.standby import (
    RENEWAL,
    Limits,
    Plan,
    Standing,
    State,
    Wanted,
    plan,
    popular,
    share,
)

LIMITS = Limits(most=8, starts=2, max_age=1000.0)


def wanted(**counts: int) -> list[Wanted]:
    return [Wanted(key=key, count=count) for key, count in counts.items()]


def server(name: str, age: float = 0.0, state: State = State.READY, key: str = "a") -> Standing:
    return Standing(id=name, key=key, state=state, age=age)


def test_recent_launches_count_more() -> None:
    week = 7 * 86400.0
    launches = [("old", "HEAD", 0.0)] * 3 + [("new", "HEAD", 2 * week), ("other", "v1", 3 * week)]
    assert popular(launches, now=2 * week, most=3) == [
        ("new", "HEAD"),
        ("other", "v1"),
        ("old", "HEAD"),
    ]
    assert popular(launches, now=2 * week, most=1) == [("new", "HEAD")]


def test_servers_are_shared_in_turn() -> None:
    assert share(wanted(a=4, b=1, c=4), 6) == {"a": 3, "b": 1, "c": 2}
    assert share(wanted(a=4, b=1), 100) == {"a": 4, "b": 1}
    assert share([*wanted(a=1), *wanted(a=2, b=-1)], 100) == {"a": 3, "b": 0}
    assert share(wanted(a=1), 0) == {"a": 0}


def test_what_is_missing_is_started_a_few_at_a_time() -> None:
    assert plan(wanted(a=3, b=1), [], LIMITS) == Plan(["a", "b"], [])
    starting = server("1", state=State.STARTING)
    assert plan(wanted(a=3, b=1), [starting], LIMITS) == Plan(["a"], [])
    assert plan(wanted(a=2, b=1), [server("1"), server("2")], LIMITS) == Plan(["b"], [])


def test_what_failed_is_not_started_at_once() -> None:
    assert plan(wanted(a=3, b=1), [], LIMITS, held={"a"}) == Plan(["b"], [])


def test_what_is_not_wanted_any_more_is_stopped() -> None:
    standing = [server("1", key="of an earlier commit"), server("2")]
    assert plan(wanted(a=1), standing, LIMITS) == Plan([], ["1"])
    assert plan(wanted(a=0), standing[1:], LIMITS) == Plan([], ["2"])
    # It uses resources until it is gone, and is not stopped again.
    gone = server("1", state=State.STOPPING, key="of an earlier commit")
    assert plan(wanted(a=1), [gone], Limits(most=1, starts=2, max_age=9.0)) == Plan([], [])
    assert plan(wanted(a=2), [gone], LIMITS) == Plan(["a", "a"], [])


def test_of_too_many_the_oldest_and_those_that_start_are_stopped() -> None:
    standing = [server("old", 500), server("new", 5), server("starting", 1, State.STARTING)]
    assert plan(wanted(a=2), standing, LIMITS).stop == ["starting"]
    assert plan(wanted(a=1), standing, LIMITS).stop == ["old", "starting"]


def test_a_server_is_replaced_before_it_is_too_old() -> None:
    due = server("1", age=RENEWAL * LIMITS.max_age)
    assert plan(wanted(a=1), [due], LIMITS) == Plan(["a"], [])
    successor = server("2", state=State.STARTING)
    assert plan(wanted(a=1), [due, successor], LIMITS) == Plan([], [])
    assert plan(wanted(a=1), [due, server("2")], LIMITS) == Plan([], ["1"])
    assert plan(wanted(a=1), [server("1", age=1000.0)], LIMITS) == Plan(["a"], ["1"])


def test_without_room_they_are_replaced_one_after_the_other() -> None:
    limits = Limits(most=3, starts=2, max_age=1000.0)
    standing = [server("1", age=900), server("2", age=950), server("3", age=900)]
    assert plan(wanted(a=3), standing, limits) == Plan([], ["2"])
    standing[1] = server("2", age=950, state=State.STOPPING)
    assert plan(wanted(a=3), standing, limits) == Plan([], [])
    assert plan(wanted(a=3), [standing[0], standing[2]], limits) == Plan(["a"], [])
    standing[1] = server("4", age=1, state=State.STARTING)
    assert plan(wanted(a=3), standing, limits) == Plan([], [])
    standing[1] = server("4", age=2)
    assert plan(wanted(a=3), standing, limits) == Plan([], ["1"])
    # Nothing is given up for what cannot be started.
    assert plan(wanted(a=3), standing, limits, held={"a"}) == Plan([], [])


KEYS = st.sampled_from("abc")
WANTED = st.lists(st.builds(Wanted, key=KEYS, count=st.integers(0, 6)), max_size=5)
STANDING = st.lists(
    st.builds(
        Standing,
        id=st.uuids().map(str),
        key=st.sampled_from("abcd"),
        state=st.sampled_from(State),
        age=st.floats(0, 1500),
    ),
    max_size=12,
    unique_by=lambda one: one.id,
)
ALL_LIMITS = st.builds(
    Limits, most=st.integers(0, 10), starts=st.integers(0, 4), max_age=st.just(1000.0)
)


@given(WANTED, STANDING, ALL_LIMITS)
def test_limits_hold(want: list[Wanted], standing: list[Standing], limits: Limits) -> None:
    done = plan(want, standing, limits)
    assert len(set(done.stop)) == len(done.stop)
    states = {one.id: one for one in standing}
    assert all(states[name].state is not State.STOPPING for name in done.stop)
    if done.start:
        assert len(standing) + len(done.start) <= limits.most
        starting = sum(one.state is State.STARTING for one in standing)
        assert starting + len(done.start) <= limits.starts
    shares = share(want, limits.most)
    assert sum(shares.values()) <= limits.most
    left = [one for one in standing if one.id not in done.stop and one.state is not State.STOPPING]
    assert all(one.age < limits.max_age and one.key in shares for one in left)
    fresh = Counter(one.key for one in left if one.age < RENEWAL * limits.max_age)
    assert all(fresh[key] + done.start.count(key) <= count for key, count in shares.items())


@given(WANTED, STANDING, ALL_LIMITS)
def test_nothing_is_missing_in_the_end(
    want: list[Wanted], standing: list[Standing], limits: Limits
) -> None:
    """Each server that is asked for starts, and each that is stopped ends, before the next plan."""
    if not limits.starts:
        return
    for number in range(60):
        done = plan(want, standing, limits)
        standing = [
            Standing(id=one.id, key=one.key, state=State.READY, age=one.age)
            for one in standing
            if one.id not in done.stop and one.state is not State.STOPPING
        ]
        standing += [server(f"{number}.{at}", key=key) for at, key in enumerate(done.start)]
    shares = share(want, limits.most)
    ready = Counter(one.key for one in standing)
    assert {key: count for key, count in shares.items() if count} == ready
    assert plan(want, standing, limits) == Plan([], [])
