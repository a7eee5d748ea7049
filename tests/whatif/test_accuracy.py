"""The replay of weeks whose policies are known, and that another mechanism has made.

`finer.week` makes them: it is no real cluster, but it shares neither code nor simplifications with
the replay. What the replay has to find itself is who waits for a build slot, for a node and for an
image; what a launch itself took is in its record.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from binderprogress.whatif.classes import Described
from binderprogress.whatif.past import Past
from binderprogress.whatif.policy import Policy, read_policy
from binderprogress.whatif.study import study

from .finer import MONDAY, week

WEEK = 7 * 86400.0
BACKGROUND = {"launches_per_day": 250, "repositories": 60, "commits_per_day": 10}
CLASS = {"students": 90, "days": ["Monday"], "at": "10:00", "repository": "course"}

WEEKS: dict[str, dict[str, Any]] = {
    # Few build slots, and nodes that are added when they are needed.
    "on-demand": {
        "background": BACKGROUND,
        "nodes": {"least": 1, "most": 8, "memory_gb": 10, "images_gb": 40},
        "builds": {"slots": 2},
        "launches": {"build_seconds": 400},
    },
    # A class, room that is kept free, and images that new nodes pull.
    "class": {
        "background": BACKGROUND,
        "classes": [CLASS],
        "nodes": {"least": 2, "most": 12, "memory_gb": 32, "placeholders": 10, "images_gb": 40},
        "prepull": {"images": 10, "when": "new-node"},
    },
    # Two hubs, and servers that are spread.
    "two-hubs": {
        "background": {**BACKGROUND, "launches_per_day": 350},
        "hubs": {"count": 2},
        "nodes": {"least": 2, "most": 5, "memory_gb": 24, "packing": "emptiest", "images_gb": 25},
        "builds": {"slots": 4},
    },
}


def replayed(policy: Policy, *, seed: int) -> tuple[Past, Any]:
    launches = week(Described(policy).draw(Random(seed)), policy, seed=seed)
    described = {"classes": [], "background": {}}
    import msgspec

    recorded = read_policy({**msgspec.to_builtins(policy), **described}, name="recorded")
    source = Past(launches, began=MONDAY, ended=MONDAY + WEEK, policy=recorded)
    return source, study([("recorded", recorded)], source, runs=3, seed=1)


@pytest.mark.parametrize("name", WEEKS)
def test_a_week_is_replayed_within_a_tenth(name: str) -> None:
    policy = read_policy(WEEKS[name], name=name)
    source, report = replayed(policy, seed=1)
    accuracy = report.accuracy
    assert accuracy is not None
    assert source.recorded.launches > 1500
    assert accuracy.is_close, (accuracy, report.outcomes[0])
