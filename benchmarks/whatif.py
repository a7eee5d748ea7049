"""How long the simulation of a busy week takes, and what of it is simpy."""

from __future__ import annotations

import time
from random import Random
from typing import Any

from binderprogress.whatif.classes import Described
from binderprogress.whatif.outcome import percentile
from binderprogress.whatif.policy import Policy, read_policy
from binderprogress.whatif.replay import replay

__all__ = ["compare", "table"]

POLICIES: dict[str, dict[str, Any]] = {
    "nodes on demand": {},
    "the same with placeholders and images that are pulled ahead": {
        "nodes": {"placeholders": 30},
        "prepull": {"images": 50},
    },
    "the same with standing servers": {
        "nodes": {"placeholders": 30},
        "prepull": {"images": 50},
        "standby": {"servers": 40},
    },
}


def _policy(launches: int, sections: dict[str, Any]) -> Policy:
    nodes = {"least": 4, "most": 100, "memory_gb": 100, **sections.get("nodes", {})}
    background = {"launches_per_day": launches // 7, "repositories": 1000, "commits_per_day": 200}
    values = {**sections, "nodes": nodes, "builds": {"slots": 20}, "background": background}
    return read_policy(values, name="benchmark")


def compare(*, launches: int = 100_000, seed: int = 1) -> dict[str, Any]:
    """Return how long each policy took.

    Parameters
    ----------
    launches : int
        In the week.
    seed : int
    """
    found: dict[str, Any] = {"launches": launches, "policies": []}
    for name, sections in POLICIES.items():
        policy = _policy(launches, sections)
        began = time.process_time()
        demand = Described(policy).draw(Random(seed))  # noqa: S311 - no secret
        drawn = time.process_time()
        run = replay(demand, policy, Random(seed))  # noqa: S311 - no secret
        found["policies"].append(
            {
                "name": name,
                "draw_s": drawn - began,
                "replay_s": time.process_time() - drawn,
                "p50_s": percentile(run.seconds, 50),
                "p95_s": percentile(run.seconds, 95),
                "most_nodes": run.most_nodes,
            }
        )
    return found


def table(result: dict[str, Any]) -> str:
    """Lay out what was measured."""
    lines = [
        "whatif: a week of {launches:,} launches, seconds of one processor".format(**result),
        f"{'drawn':>9}{'replayed':>10}{'p50':>9}{'p95':>9}{'nodes':>7}",
    ]
    lines += [
        "{draw_s:9.1f}{replay_s:10.1f}{p50_s:7.1f} s{p95_s:7.1f} s{most_nodes:7}  {name}".format(
            **each
        )
        for each in result["policies"]
    ]
    return "\n".join(lines)
