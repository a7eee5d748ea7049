"""What `binderprogress whatif` prints."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from ..whatif.report import TRUSTED, Accuracy, Answer, Band, Outcome, SimulationReport, Try

__all__ = ["report_lines", "try_line"]

_REASONS = {
    "build": "failed: the build",
    "no-room": "failed: no room in time",
    "quota": "failed: a quota",
}
_SHARES = (1.0, 5.0, 30.0, 120.0)
"""Seconds for which the share of launches is printed."""


def report_lines(report: SimulationReport) -> Iterator[str]:
    """Yield the lines of a report."""
    first = report.outcomes[0]
    began = datetime.fromtimestamp(first.began, UTC)
    # A described week is no real one.
    when = f"{began:%Y-%m-%d %H:%M} UTC, " if first.began > 365 * 86400.0 else ""
    days = "1 day" if first.hours == 24 else f"{first.hours / 24:g} days"
    yield f"{when}{days}, {first.launches.middle:,.0f} launches, {_runs(first)}"
    if report.accuracy is not None:
        yield from _accuracy_lines(report.accuracy, first)
    yield ""
    yield from _table(report)
    if report.answer is not None:
        yield ""
        yield from answer_lines(report.answer)


def _runs(outcome: Outcome) -> str:
    if outcome.runs == 1:
        return "simulated once"
    return f"simulated {outcome.runs} times (in brackets: the lowest and highest)"


def _accuracy_lines(accuracy: Accuracy, outcome: Outcome) -> Iterator[str]:
    recorded = accuracy.recorded
    yield (
        f"Recorded: p50 {_seconds(recorded.p50)}, p95 {_seconds(recorded.p95)}. "
        f"Replayed: p50 {_seconds(outcome.p50.middle)} ({accuracy.p50:+.0%}), "
        f"p95 {_seconds(outcome.p95.middle)} ({accuracy.p95:+.0%})."
    )
    if recorded.left_out:
        yield (
            f"{recorded.left_out:,} launches are left out, which were cancelled or failed for "
            "other reasons than their build."
        )
    if accuracy.is_close:
        return
    if accuracy.is_by_chance:
        low, high = map(_seconds, recorded.p95_range)
        yield (
            "Few launches took about as long as the recorded p95, which could by chance be "
            f"anything from {low} to {high} (95% confidence). The replay's is in that range."
        )
    else:
        yield (
            f"This is further off than {TRUSTED:.0%}: do not trust what follows. Describe the "
            "nodes and limits of that time better, in a file or with --set."
        )


def _table(report: SimulationReport) -> Iterator[str]:
    rows = list(_rows(report))
    names = [outcome.name for outcome in report.outcomes]
    widths = [
        max(len(row[column + 1]) for row in [("", *names), *rows]) for column in range(len(names))
    ]
    title = max(len(row[0]) for row in rows)
    for row in [("", *names), *rows]:
        cells = "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths, strict=True))
        yield f"{row[0]:{title}}  {cells}".rstrip()


def _rows(report: SimulationReport) -> Iterator[tuple[str, ...]]:
    outcomes = report.outcomes
    late = f"{report.late_seconds:g} s"
    money = report.currency

    def row(name: str, bands: list[Band], text: str) -> tuple[str, ...]:
        return (name, *(_band(band, text, money) for band in bands))

    yield row("p50", [o.p50 for o in outcomes], "seconds")
    yield row("p95", [o.p95 for o in outcomes], "seconds")
    for seconds in _SHARES:
        found = [next(p.share for p in o.within if p.seconds == seconds) for o in outcomes]
        limit = f"{seconds:g} s" if seconds < 60 else f"{seconds / 60:g} min"
        yield row(f"ready within {limit}", found, "share")
    yield row(f"wait > {late}, people an hour", [o.late for o in outcomes], "number")
    yield row("  in the worst hour", [o.late_peak for o in outcomes], "whole")
    yield row("most people waiting at once", [o.waiting_peak for o in outcomes], "whole")
    none = Band(0.0, 0.0, 0.0)
    for reason in sorted({reason for o in outcomes for reason in o.failed}):
        found = [o.failed.get(reason, none) for o in outcomes]
        yield row(_REASONS[reason], found, "whole")
    if any(o.handed_over.high for o in outcomes):
        yield row("got a standing server", [o.handed_over for o in outcomes], "share")
    yield row("image on the node", [o.image_hits for o in outcomes], "share")
    yield row("builds", [o.builds for o in outcomes], "whole")
    yield row("most nodes", [o.most_nodes for o in outcomes], "whole")
    yield row("node hours", [o.node_hours for o in outcomes], "whole")
    yield row("cost", [o.cost for o in outcomes], "money")
    yield row("cost per launch", [o.cost_per_launch for o in outcomes], "money")


def _band(band: Band, kind: str, currency: str) -> str:
    middle, low, high = (
        _value(value, kind, currency) for value in (band.middle, band.low, band.high)
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def _value(value: float, kind: str, currency: str) -> str:
    if kind == "seconds":
        return _seconds(value)
    if kind == "share":
        return f"{value:.1%}"
    if kind == "whole":
        return f"{value:,.0f}"
    if kind == "money":
        return f"{currency}{value:,.2f}" if value >= 1 or not value else f"{currency}{value:.4f}"
    return f"{value:,.1f}"


def _seconds(value: float) -> str:
    if value < 10:
        return f"{value:.3g} s"
    if value < 90:
        return f"{value:.0f} s"
    return f"{value / 60:.1f} min" if value < 5400 else f"{value / 3600:.1f} h"


def try_line(key: str, tried: Try) -> str:
    """Return a line about a value that was tried."""
    return f"{key} = {tried.value}: {tried.share:.1%}"


def answer_lines(answer: Answer) -> Iterator[str]:
    """Yield the lines about what was searched."""
    goal = f"{answer.goal.share:.0%} of the launches within {_seconds(answer.goal.seconds)}"
    for tried in answer.tries:
        reached = "reached" if tried.share >= answer.goal.share else "missed"
        yield f"{try_line(answer.key, tried)}, {reached}"
    if answer.value is None:
        most = answer.tries[-1].value
        yield f"None is enough: {goal} are not reached with {answer.key} = {most}."
    else:
        yield f"{answer.key} = {answer.value} is enough: {goal}, in each run."
