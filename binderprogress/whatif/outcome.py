"""What several runs of a simulation say together."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from math import sqrt
from random import Random

from .demand import Source
from .policy import Policy
from .replay import Run, replay
from .report import Band, Outcome, Point

__all__ = ["chance", "outcome_of", "percentile", "share_within", "simulate"]

_POINTS = (
    *(0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50),
    *(60, 75, 90, 120, 150, 180, 240, 300, 420, 600, 900, 1200, 1800, 3600),
)
"""Seconds at which the distribution of launches is given."""

_CONFIDENCE = 1.96
"""Standard deviations between which is 95 % of a normal distribution."""


def simulate(
    source: Source,
    policy: Policy,
    *,
    runs: int,
    seed: int,
    name: str = "",
    progress: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run the launches of a source through a policy, several times.

    Run number *n* of each policy has the same launches.

    Parameters
    ----------
    source : Source
    policy : Policy
    runs, seed : int
    name : str
        Of the policy.
    progress : callable
        Called after each run.
    """
    results = []
    for number in range(runs):
        demand = source.draw(Random(f"launches {seed} {number}"))
        results.append(replay(demand, policy, Random(f"hubs {seed} {number}")))
        began, hours = demand.began, len(results[-1].begun)
        progress()
    return outcome_of(results, name=name, began=began, hours=hours)


def outcome_of(results: Sequence[Run], *, name: str, began: float, hours: int) -> Outcome:
    """Sum up runs of the same policy; at least one."""

    def band(value: Callable[[Run], float]) -> Band:
        return _band(map(value, results))

    reasons = sorted({reason for run in results for reason in run.failed})
    return Outcome(
        name=name,
        runs=len(results),
        began=began,
        hours=hours,
        launches=band(lambda run: run.launches),
        p50=band(lambda run: percentile(run.seconds, 50)),
        p95=band(lambda run: percentile(run.seconds, 95)),
        late=band(lambda run: sum(run.late) / hours),
        late_peak=band(lambda run: max(run.late)),
        waiting_peak=band(lambda run: run.most_waiting),
        failures=band(lambda run: run.failed.total()),
        failed={reason: _band(run.failed[reason] for run in results) for reason in reasons},
        handed_over=band(lambda run: run.handed_over / max(run.launches, 1)),
        image_hits=band(lambda run: run.found / max(run.placed, 1)),
        builds=band(lambda run: run.builds),
        node_hours=band(lambda run: run.node_hours),
        cost=band(lambda run: run.cost),
        cost_per_launch=band(lambda run: run.cost / max(len(run.seconds), 1)),
        most_nodes=band(lambda run: run.most_nodes),
        within=[
            Point(seconds, _band(share_within(run, seconds) for run in results))
            for seconds in map(float, _POINTS)
        ],
        begun_by_hour=[_band(each) for each in zip(*(run.begun for run in results), strict=True)],
        late_by_hour=[_band(each) for each in zip(*(run.late for run in results), strict=True)],
    )


def _band(values: Iterable[float]) -> Band:
    ordered = [round(value, 6) for value in sorted(values)]
    return Band(percentile(ordered, 50), ordered[0], ordered[-1])


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile of numbers that are in order, interpolated; 0 if there are none."""
    if not ordered:
        return 0.0
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def chance(ordered: Sequence[float], percent: float) -> tuple[float, float]:
    """Return between what a percentile could be by chance, with a confidence of 95 %.

    Other launches of the same kind would have another one. It holds for any distribution, as far
    as launches do not depend on each other, and is wide where few values are near.

    Parameters
    ----------
    ordered : sequence of float
        In order.
    percent : float
    """
    share = percent / 100
    off = 100 * _CONFIDENCE * sqrt(share * (1 - share) / max(len(ordered), 1))
    low, high = max(percent - off, 0.0), min(percent + off, 100.0)
    return percentile(ordered, low), percentile(ordered, high)


def share_within(run: Run, seconds: float) -> float:
    """Return the share of all launches that were ready within a time."""
    return bisect_right(run.seconds, seconds) / max(run.launches, 1)
