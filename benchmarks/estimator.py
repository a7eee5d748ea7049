"""How true the bar and the ETA are, on launches that were recorded, and on some that are made up.

``python -m benchmarks.estimator [--train FOLDER --test FOLDER] [--json]``
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from binderprogress.core.events import Event
from binderprogress.core.phases import Phase
from binderprogress.core.timing.priors import Priors
from binderprogress.core.timing.recent import quantile
from binderprogress.errors import BadRequestError

from .generate import World
from .replay import Question, expected, learn, nothing_known, replay, seconds_of_cpu
from .rules import Shown, mean_of_past, ours, rules
from .traces import Trace, read_all

__all__ = ["main", "measure", "measure_ours", "table"]

RECORDED = Path(__file__).parent / "recorded"

SAMPLES = 200
"""Moments of each launch at which one looks at the bar."""

_FIVE = 5


def measure(train: list[Trace], test: list[Trace]) -> dict[str, Any]:
    """Replay the launches and return all figures."""
    # A server has one engine, and its history is of that.
    knowledge = {trace.header.engine: Priors() for trace in [*train, *test]}
    for engine, known in knowledge.items():
        learn(known, [trace for trace in train if trace.header.engine == engine])
    earlier = Counter((trace.header.engine, trace.header.repository) for trace in train)
    launches = []
    estimates, seconds = 0, 0.0
    for trace in sorted(test, key=lambda trace: trace.header.began):
        header = trace.header
        questions: list[Question] = []
        events = replay(trace, expected(knowledge[header.engine], trace), questions)
        estimates += len(questions)
        seconds += seconds_of_cpu(questions, partial(expected, knowledge[header.engine], trace))
        if events[-1].phase is Phase.READY:
            unknown = replay(trace, nothing_known(trace))
            launches.append((earlier[header.engine, header.repository], events, unknown))
        # As a server does. Otherwise, environments that test launches have built would be missed.
        learn(knowledge[header.engine], [trace])
        earlier[header.engine, header.repository] += 1
    groups = {
        "all": launches,
        "without a launch of the repository": [x for x in launches if x[0] == 0],
        "with one to four": [x for x in launches if 0 < x[0] < _FIVE],
        "with five or more": [x for x in launches if x[0] >= _FIVE],
    }
    mean = mean_of_past([trace.seconds for trace in train])
    return {
        "train": _origins(train),
        "test": _origins(test),
        "ready": len(launches),
        "microseconds_per_event": round(1e6 * seconds / max(estimates, 1), 2),
        "groups": {
            name: {
                "launches": len(members),
                "rules": {
                    "binderprogress": _bars([(ours(known), known) for _, known, _ in members]),
                    "binderprogress, nothing known": _bars(
                        [(ours(events), events) for _, _, events in members]
                    ),
                    **{
                        rule: _bars([(show(known), known) for _, known, _ in members])
                        for rule, show in {**rules(), "mean of past launches": mean}.items()
                    },
                },
                "eta": _eta([known for _, known, _ in members]),
                "eta, nothing known": _eta([events for _, _, events in members]),
            }
            for name, members in groups.items()
            if members
        },
    }


def measure_ours(*, train: int = 400, test: int = 200) -> dict[str, Any]:
    """Measure those that are recorded here, and as many as wanted that are made up."""
    world = World(1)
    made = [world.launch() for _ in range(train + test)]
    return {
        "recorded": measure(read_all(RECORDED / "train"), read_all(RECORDED / "test")),
        "generated": measure(made[:train], made[train:]),
    }


def _origins(traces: list[Trace]) -> dict[str, int]:
    return dict(Counter(trace.header.origin for trace in traces))


def _bars(launches: list[tuple[Shown, list[Event]]]) -> dict[str, float]:
    """Return how far bars are off, as parts of the bar and of the time."""
    errors, backward, stalls, high, jumps = [], [], [], [], []
    for shown, events in launches:
        total = events[-1].elapsed
        bar = [shown(total * (n + 0.5) / SAMPLES) / 100 for n in range(SAMPLES)]
        truth = [(n + 0.5) / SAMPLES for n in range(SAMPLES)]
        errors.append(fmean(abs(b - t) for b, t in zip(bar, truth, strict=True)))
        backward.append(sum(max(a - b, 0) for a, b in pairwise(bar)))
        stalls.append(_stall(bar))
        high.append(sum(b > 0.95 for b in bar) / SAMPLES)
        jumps.append(1 - bar[-1])
    return {
        "error": round(fmean(errors), 4),
        "error_p90": quantile(sorted(errors), 0.9) or 0.0,
        "backward": round(max(backward), 4),
        "stall": round(fmean(stalls), 4),
        "above_95": round(fmean(high), 4),
        "final_jump": round(fmean(jumps), 4),
    }


def _stall(bar: list[float]) -> float:
    """Return for what part of the time the bar stood longest: moved less than a thousandth."""
    longest, begin = 0, 0
    for n, place_ in enumerate(bar):
        if place_ - bar[begin] >= 0.001:
            begin = n
        longest = max(longest, n - begin)
    return longest / len(bar)


def sampled(events: Sequence[Event]) -> Iterator[tuple[Event, float]]:
    """Iterate over equally spaced moments: the last event, and the seconds left at it."""
    total, index = events[-1].elapsed, 0
    for n in range(SAMPLES):
        at = total * (n + 0.5) / SAMPLES
        while index + 1 < len(events) and events[index + 1].elapsed <= at:
            index += 1
        yield events[index], total - events[index].elapsed


def pinball(error: float, q: float) -> float:
    """Return the loss of a quantile that is too low by `error`."""
    return max(q * error, (q - 1) * error)


def _eta(launches: list[list[Event]]) -> dict[str, float]:
    """Return how often the truth lies within the range and before `eta_late`, and the pinball loss.

    The loss is that of the median and the quartiles, as a part of the launch's duration.
    """
    covered, losses, punctual = [], [], []
    for events in launches:
        total = events[-1].elapsed
        inside, early, loss = 0, 0, 0.0
        for event, left in sampled(events):
            low, middle, high = event.eta_low or 0.0, event.eta or 0.0, event.eta_high or 0.0
            inside += low <= left <= high
            early += left <= (event.eta_late or 0.0)
            loss += sum(
                pinball(left - told, q) for told, q in ((low, 0.25), (middle, 0.5), (high, 0.75))
            )
        covered.append(inside / SAMPLES)
        punctual.append(early / SAMPLES)
        losses.append(loss / (3 * SAMPLES * total))
    return {
        "coverage": round(fmean(covered), 4),
        "before_late": round(fmean(punctual), 4),
        "pinball": round(fmean(losses), 4),
    }


def table(found: dict[str, Any]) -> str:
    """Return all figures of several measurements for people."""
    return "\n\n".join(_table(name, measured) for name, measured in found.items())


def _table(title: str, found: dict[str, Any]) -> str:
    per_event = f"{found['microseconds_per_event']} µs of CPU an event"
    launches = f"Train: {found['train']}, test: {found['test']} ({found['ready']} became ready)"
    lines = [f"{launches}, {per_event}"]
    for name, group in found["groups"].items():
        lines += ["", f"{title}, {name} ({group['launches']} launches)"]
        head = ["rule", "error", "p90", "backward", "stall", ">95 %", "final jump"]
        lines.append("{:32}{:>8}{:>8}{:>10}{:>8}{:>8}{:>12}".format(*head))
        for rule, bars in group["rules"].items():
            row = "".join(f"{v:>{w}.3f}" for v, w in zip(bars.values(), _WIDTHS, strict=True))
            lines.append(f"{rule:32}{row}")
        for eta in ("eta", "eta, nothing known"):
            lines.append(
                f"{eta:32}the range holds the truth {group[eta]['coverage']:.0%} of the time, "
                f"eta_late {group[eta]['before_late']:.0%}, pinball {group[eta]['pinball']:.3f}"
            )
    return "\n".join(lines)


_WIDTHS = (8, 8, 10, 8, 8, 12)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimator", description=__doc__)
    parser.add_argument("--train", type=Path, help="launches to learn from; else ours")
    parser.add_argument("--test", type=Path, help="launches to estimate")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    args = parser.parse_args()
    if (args.train is None) != (args.test is None):
        parser.error("--train and --test go together")
    try:
        if args.train is None:
            found = measure_ours()
        else:
            found = {"given": measure(read_all(args.train), read_all(args.test))}
    except BadRequestError as error:
        sys.exit(str(error))
    print(json.dumps(found, indent=2) if args.json else table(found))


if __name__ == "__main__":
    main()
