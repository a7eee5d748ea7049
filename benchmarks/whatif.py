"""How long the simulation of a busy week takes, and how near the replay of known weeks comes."""

from __future__ import annotations

import time
from random import Random
from typing import Any

from binderprogress.whatif.classes import Described
from binderprogress.whatif.outcome import percentile
from binderprogress.whatif.policy import Policy, read_policy
from binderprogress.whatif.replay import replay
from tests.whatif.weeks import WEEKS, replayed

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


def compare(*, launches: int = 100_000, seed: int = 1, weeks: int = 3) -> dict[str, Any]:
    """Return how long each policy took, and how far replays of known weeks were off.

    Parameters
    ----------
    launches : int
        In the week.
    seed : int
    weeks : int
        How many are made of each kind; see `tests.whatif.weeks`.
    """
    found: dict[str, Any] = {"launches": launches, "policies": [], "weeks": []}
    found["weeks"] = [_week(name, number + seed) for name in WEEKS for number in range(weeks)]
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


def _week(name: str, seed: int) -> dict[str, Any]:
    accuracy, outcome = replayed(name, seed=seed)
    recorded = accuracy.recorded
    low, high = recorded.p95_range
    return {
        "name": name,
        "seed": seed,
        "p50_s": recorded.p50,
        "p50_off": accuracy.p50,
        "p95_s": recorded.p95,
        "p95_off": accuracy.p95,
        "p95_low_s": low,
        "p95_high_s": high,
        "is_close": accuracy.is_close,
        "is_in_range": low <= outcome.p95.middle <= high,
    }


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
    lines += [
        "",
        "weeks of another mechanism and their replays; in brackets what p95 could be by chance",
        f"{'p50':>9}{'replayed':>10}{'p95':>9}{'':>20}{'replayed':>10}",
    ]
    lines += [
        "{p50_s:7.1f} s{p50_off:+10.1%}{p95_s:7.1f} s{range:>20}{p95_off:+10.1%}  "
        "{name} {seed}{note}".format(
            **each,
            range=f"({each['p95_low_s']:.0f} s to {each['p95_high_s']:.0f} s)",
            note="" if each["is_in_range"] else ", not in the range",
        )
        for each in result["weeks"]
    ]
    close = sum(each["is_close"] for each in result["weeks"])
    lines.append(f"{close} of {len(result['weeks'])} are within 10 %.")
    return "\n".join(lines)
