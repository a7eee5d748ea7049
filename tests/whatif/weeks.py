"""Weeks with known policies: what happened in them, and what the replay makes of it.

`finer.week` makes them: it is no real cluster, but it shares neither code nor simplifications with
the replay. What the replay has to find itself is who waits for a build slot, for a node and for an
image; what a launch itself took is in its record, and so is its hub.
"""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

from binderprogress.whatif.classes import Described
from binderprogress.whatif.past import Past
from binderprogress.whatif.policy import read_policy
from binderprogress.whatif.report import Accuracy, Outcome
from binderprogress.whatif.study import study

from .finer import MONDAY, week

__all__ = ["WEEKS", "replayed"]

_RUNS = 5
"""As many as the command makes."""

_WEEK = 7 * 86400.0
_BACKGROUND = {"launches_per_day": 250, "repositories": 60, "commits_per_day": 10}
_CLASS = {"students": 90, "days": ["Monday"], "at": "10:00", "repository": "course"}

WEEKS: dict[str, dict[str, Any]] = {
    # Few build slots, and nodes that are added when they are needed.
    "on-demand": {
        "background": _BACKGROUND,
        "nodes": {"least": 1, "most": 8, "memory_gb": 10, "images_gb": 40},
        "builds": {"slots": 2},
        "launches": {"build_seconds": 400},
    },
    # A class, room that is kept free, and images that new nodes pull.
    "class": {
        "background": _BACKGROUND,
        "classes": [_CLASS],
        "nodes": {"least": 2, "most": 12, "memory_gb": 32, "placeholders": 10, "images_gb": 40},
        "prepull": {"images": 10, "when": "new-node"},
    },
    # Two hubs, and servers that are spread.
    "two-hubs": {
        "background": {**_BACKGROUND, "launches_per_day": 350},
        "hubs": {"count": 2},
        "nodes": {"least": 2, "most": 5, "memory_gb": 24, "packing": "emptiest", "images_gb": 25},
        "builds": {"slots": 4},
    },
}


def replayed(name: str, *, seed: int) -> tuple[Accuracy, Outcome]:
    """Make a week and replay it."""
    policy = read_policy(WEEKS[name], name=name)
    launches = week(Described(policy).draw(Random(seed)), policy, seed=seed)
    described = {"classes": [], "background": {}}
    recorded = read_policy({**msgspec.to_builtins(policy), **described}, name="recorded")
    source = Past(launches, began=MONDAY, ended=MONDAY + _WEEK, policy=recorded)
    report = study([("recorded", recorded)], source, runs=_RUNS, seed=1)
    assert report.accuracy is not None
    return report.accuracy, report.outcomes[0]
