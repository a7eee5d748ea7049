"""How many launches end within the range that they were told: ``python -m benchmarks.ranges``.

Recorded launches are those of each repository in turn, after those of all others. Made up ones are
of several worlds, some with much that is hard to estimate, and of several seeds. Each launch is
learned from when it has ended. Confidence intervals of recorded ones are from resampling their
repositories, because launches of one resemble each other.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterable, Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Any, NamedTuple

from binderprogress.core.events import Event
from binderprogress.core.phases import Phase
from binderprogress.core.timing.learning import learn
from binderprogress.core.timing.priors import Priors
from binderprogress.core.timing.spans import PastLaunch

from .estimator import RECORDED, SAMPLES, pinball, sampled
from .generate import WORLDS, World
from .replay import expected, nothing_known, past, replay
from .traces import Trace, read_all

__all__ = ["compare", "held", "summary", "table"]

_RESAMPLED = 2000


class Held(NamedTuple):
    """For what part of the time of a launch its truth was where it was told to be.

    Attributes
    ----------
    within : float
        Between `eta_low` and `eta_high`.
    before : float
        Before `eta_latest`.
    loss : float
        The pinball loss of these and of the median, as a part of the launch's duration.
    """

    within: float
    before: float
    loss: float


def held(events: Sequence[Event]) -> Held:
    """Return how true the ranges of one launch were, at moments that are equally far apart."""
    total = events[-1].elapsed
    within, before, loss = 0, 0, 0.0
    for event, left in sampled(events):
        low, middle, high = event.eta_low or 0.0, event.eta or 0.0, event.eta_high or 0.0
        latest = event.eta_latest or 0.0
        within += low <= left <= high
        before += left <= latest
        for told, q in ((low, 0.25), (middle, 0.5), (high, 0.75), (latest, 0.9)):
            loss += pinball(left - told, q)
    return Held(within / SAMPLES, before / SAMPLES, loss / (4 * SAMPLES * total))


def _estimated(known: Priors, traces: Iterable[Trace]) -> list[Held]:
    """Estimate launches that became ready, and learn from each."""
    found = []
    for trace in traces:
        events = replay(trace, expected(known, trace))
        if events[-1].phase is Phase.READY:
            found.append(held(events))
        _learn(known, trace, past(trace, events))
    return found


def _ended(trace: Trace) -> PastLaunch:
    return past(trace, replay(trace, nothing_known(trace)))


def _learn(known: Priors, trace: Trace, ended: PastLaunch) -> None:
    learn(known, ended, trace.header.typical, first_start=trace.header.first_start)


def _recorded() -> list[list[Held]]:
    """Estimate the launches of each repository, with what those of all others teach."""
    traces = read_all(RECORDED / "train") + read_all(RECORDED / "test")
    traces.sort(key=lambda trace: trace.header.began)
    groups: dict[tuple[str, str], list[Trace]] = {}
    for trace in traces:
        groups.setdefault((trace.header.engine, trace.header.repository), []).append(trace)
    ended = [_ended(trace) for trace in traces]
    found = []
    for (engine, repository), own in groups.items():
        known = Priors()
        for trace, launch in zip(traces, ended, strict=True):
            if trace.header.engine == engine and trace.header.repository != repository:
                _learn(known, trace, launch)
        found.append(_estimated(known, own))
    return [group for group in found if group]


def _made_up(name: str, *, seed: int, train: int, test: int) -> list[Held]:
    world = World(seed, conditions=WORLDS[name])
    known = Priors()
    for _ in range(train):
        trace = world.launch()
        _learn(known, trace, _ended(trace))
    return _estimated(known, (world.launch() for _ in range(test)))


def compare(*, train: int = 200, test: int = 300, seeds: int = 3) -> dict[str, Any]:
    """Measure recorded and made up launches."""
    found = {"recorded": summary(_recorded())}
    for name in WORLDS:
        launches = [
            each
            for seed in range(1, seeds + 1)
            for each in _made_up(name, seed=seed, train=train, test=test)
        ]
        found[name] = summary([[each] for each in launches])
    return found


def summary(groups: list[list[Held]]) -> dict[str, Any]:
    """Return the figures of launches, grouped by what makes them resemble each other."""
    launches = [each for group in groups for each in group]
    return {
        "launches": len(launches),
        "within": round(fmean(each.within for each in launches), 4),
        "within_interval": _interval(groups, lambda each: each.within),
        "before": round(fmean(each.before for each in launches), 4),
        "before_interval": _interval(groups, lambda each: each.before),
        "pinball": round(fmean(each.loss for each in launches), 4),
    }


def _interval(groups: list[list[Held]], of: Callable[[Held], float]) -> list[float]:
    """Return the 95% confidence interval of a mean. Only groups are independent of each other."""
    if all(len(group) == 1 for group in groups):
        values = [of(group[0]) for group in groups]
        error = 1.96 * stdev(values) / sqrt(len(values))
        return [round(fmean(values) - error, 4), round(fmean(values) + error, 4)]
    draw = random.Random(1)  # noqa: S311 - nothing secret
    means = sorted(
        fmean(of(each) for group in draw.choices(groups, k=len(groups)) for each in group)
        for _ in range(_RESAMPLED)
    )
    return [round(means[int(share * _RESAMPLED)], 4) for share in (0.025, 0.975)]


def table(found: dict[str, Any]) -> str:
    """Return the figures for people."""
    lines = [f"{'':20}{'launches':>9}{'in the range':>26}{'ready by then':>26}{'pinball':>9}"]
    for name, row in found.items():
        cells = [
            f"{row[key]:.1%} ({low:.1%} to {high:.1%})"
            for key in ("within", "before")
            for low, high in [row[f"{key}_interval"]]
        ]
        lines.append(
            f"{name:20}{row['launches']:9}{cells[0]:>26}{cells[1]:>26}{row['pinball']:9.3f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranges", description=__doc__)
    parser.add_argument("--train", type=int, default=200, help="made up launches to learn from")
    parser.add_argument("--test", type=int, default=300, help="made up launches to estimate")
    parser.add_argument("--seeds", type=int, default=3, help="how many such worlds")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    args = parser.parse_args()
    found = compare(train=args.train, test=args.test, seeds=args.seeds)
    print(json.dumps(found, indent=2) if args.json else table(found))


if __name__ == "__main__":
    main()
