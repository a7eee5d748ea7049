"""Finds the smallest number of something with which a goal is reached."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from ..errors import ConfigError
from .demand import Source
from .outcome import share_within
from .policy import Policy, changed, full_key
from .replay import replay
from .report import Answer, Goal, Try

__all__ = ["find", "read_goal"]

_GOAL = re.compile(
    r"(?:(?P<percent>\d{1,2}(?:\.\d+)?|100) ?%|p(?P<p>\d{1,2}))"
    r" ?(?:<=?|within|in) ?(?P<number>\d{1,6}(?:\.\d+)?) ?(?P<unit>ms|s|seconds?|min|minutes?)",
    re.IGNORECASE | re.ASCII,
)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def read_goal(text: str) -> Goal:
    """Read a goal such as ``80% < 1s`` or ``p95 < 2min``.

    Raises
    ------
    ConfigError
        If it cannot be understood.
    """
    match = _GOAL.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"The goal {text[:100]!r} is not understood. "
            'Write it like these: "80% < 1s" or "p95 < 2min".'
        )
    unit = match["unit"].lower()
    scale = _UNITS["ms" if unit == "ms" else unit[0]]
    return Goal(float(match["percent"] or match["p"]) / 100, float(match["number"]) * scale)


def find(
    source: Source,
    policy: Policy,
    key: str,
    goal: Goal,
    *,
    runs: int,
    seed: int,
    most: int = 1000,
    progress: Callable[[Try], None] = lambda _: None,
) -> Answer:
    """Find the smallest value of a setting with which a goal is reached.

    More of it should never be worse: values between those that were tried are taken to be so.

    Parameters
    ----------
    source : Source
    policy : Policy
    key : str
        A whole number of the policy, such as ``standby.servers``, in short ``standby``.
    goal : Goal
    runs, seed : int
        As for `simulate`.
    most : int
        The largest value that is tried.
    progress : callable
        Called after each value.

    Raises
    ------
    ConfigError
        If there is no such setting, or it is no whole number.
    """
    key = _whole_number(policy, key)
    tries: dict[int, float] = {}

    def reaches(value: int) -> bool:
        varied = changed(policy, f"{key}={value}", name="--find")
        tries[value] = _worst_share(source, varied, goal, runs=runs, seed=seed)
        progress(Try(value, tries[value]))
        return tries[value] >= goal.share

    def answer(value: int | None) -> Answer:
        tried = [Try(value, share) for value, share in sorted(tries.items())]
        return Answer(key=key, goal=goal, value=value, tries=tried)

    low = _first(key, policy)
    if reaches(low):
        return answer(low)
    high = min(max(2 * low, low + 1), most)
    while not reaches(high):
        if high >= most:
            return answer(None)
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return answer(high)


def _worst_share(source: Source, policy: Policy, goal: Goal, *, runs: int, seed: int) -> float:
    """Return the share of launches within the time of a goal, in the worst of some runs."""
    shares = []
    for number in range(runs):
        # As in `simulate`.
        demand = source.draw(Random(f"launches {seed} {number}"))
        run = replay(demand, policy, Random(f"hubs {seed} {number}"))
        shares.append(share_within(run, goal.seconds))
    return round(min(shares), 6)


def _whole_number(policy: Policy, key: str) -> str:
    """Return the full name of a setting, which must be a whole number."""
    key = full_key(key)
    value = _value_of(policy, key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(
            f"--find needs a whole number of the policy, such as standby.servers, not {key!r}."
        )
    return key


def _value_of(policy: Policy, key: str) -> object:
    section, _, field = key.partition(".")
    return getattr(getattr(policy, section, None), field, None) if field else None


def _first(key: str, policy: Policy) -> int:
    """Return the smallest value that makes sense."""
    if key == "nodes.most":
        return policy.nodes.least
    return 1 if key in ("hubs.count", "nodes.least", "standby.repositories") else 0
