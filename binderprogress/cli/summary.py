"""The time summary that `binderprogress launch` prints at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

import msgspec
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..core.events import Event
from ..core.printable import printable
from ..core.timing.breakdown import Trace, TracedSpan, trace
from .display import phase_label, step_label
from .times import duration

__all__ = ["Row", "TraceRecorder", "print_rows", "summarize"]

_MAX_STEPS = 5
"""Maximum number of steps to show. A launch may have a hundred."""

_MIN_SECONDS = 0.05
"""Shorter phases and steps are not shown, because they would be rounded to zero."""

_MIN_SAVED = 1.0
_MIN_SHARE = 0.05
"""What was done at the same time is shown if it saved so many seconds, or this share of all."""

_AHEAD = "Meanwhile (time saved)"


class TraceRecorder:
    """Records the events of a launch that its trace is made of, without those that only log."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._last: Event | None = None

    def add(self, event: Event) -> None:
        """Record an event if the phase or the step has changed."""
        if self._last is None or _step_of(event) != _step_of(self._last):
            self._events.append(msgspec.structs.replace(event, message="", source=None))
        self._last = event

    def trace(self) -> Trace:
        """Return the trace. At least one event must have been added."""
        ahead = self._last.ahead if self._last is not None else ()
        return trace(self._events, began=self._events[0].time, ahead=ahead)


def _step_of(event: Event) -> tuple[object, ...]:
    return (
        event.phase,
        event.attempt,
        event.step_key,
        event.step_index,
        event.step_total,
        event.step_digest,
        event.step_cached,
    )


class Row(msgspec.Struct, frozen=True):
    """One line of the summary.

    Attributes
    ----------
    label : str
    seconds : float
    is_step : bool
        Whether it is a step of the phase above it.
    is_ahead : bool
        Whether it was done at the same time as what the other rows have. `seconds` were saved.
    """

    label: str
    seconds: float
    is_step: bool = False
    is_ahead: bool = False


def summarize(trace: Trace) -> list[Row]:
    """Return a row for each phase, followed by rows for its steps if they are among the longest.

    The cached steps of a phase share one row. At the end is what was done at the same time.
    """
    phases: dict[str, dict[str, float]] = {}
    cached: dict[str, int] = {}
    for span in trace.spans:
        phase = phase_label(span.phase, span.step)
        steps = phases.setdefault(phase, {})
        cached[phase] = cached.get(phase, 0) + span.cached
        label = _label(span)
        steps[label] = steps.get(label, 0.0) + span.seconds
    longest = _longest_steps(phases)
    rows: list[Row] = []
    for phase, steps in phases.items():
        total = sum(steps.values())
        if total < _MIN_SECONDS:
            continue
        rows.append(Row(phase, total))
        for label, seconds in steps.items():
            if (phase, label) in longest:
                text = label or _cached_label(cached[phase])
                rows.append(Row(text, seconds, is_step=True))
    return rows + list(_rows_ahead(trace))


def _rows_ahead(trace: Trace) -> Iterator[Row]:
    enough = max(min(_MIN_SAVED, _MIN_SHARE * trace.seconds), _MIN_SECONDS)
    for done in trace.ahead:
        if done.saved >= enough:
            yield Row(printable(done.label), done.saved, is_ahead=True)


def _label(span: TracedSpan) -> str:
    # Cached steps share the empty label.
    return "" if span.cached else step_label(span.label, span.command) or "Other"


def _cached_label(count: int) -> str:
    return f"{count} cached {'step' if count == 1 else 'steps'}"


def _longest_steps(phases: dict[str, dict[str, float]]) -> set[tuple[str, str]]:
    candidates = [
        (seconds, phase, label)
        for phase, steps in phases.items()
        for label, seconds in steps.items()
        # A phase's only step would repeat the phase.
        if len(steps) > 1 and seconds >= _MIN_SECONDS
    ]
    candidates.sort(key=lambda step: -step[0])
    longest = {(phase, label) for _, phase, label in candidates[:_MAX_STEPS]}
    return longest | {(phase, label) for _, phase, label in candidates if not label}


def print_rows(rows: Sequence[Row], *, out: TextIO | None = None) -> None:
    """Print the summary, with bars in a terminal and as plain lines elsewhere."""
    main = [row for row in rows if not row.is_ahead]
    ahead = [row for row in rows if row.is_ahead]
    if not main:
        return
    console = Console(file=out or sys.stdout, highlight=False)
    total = sum(row.seconds for row in main if not row.is_step)
    title = f"Where the time went ({_precise_duration(total)})"
    if not console.is_terminal:
        print(f"== {title}", file=console.file)
        for row in main:
            indent = "   " if row.is_step else ""
            print(f"{indent}{row.label}: {_precise_duration(row.seconds)}", file=console.file)
        if ahead:
            print(f"{_AHEAD}:", file=console.file)
        for row in ahead:
            print(f"   {row.label}: {_precise_duration(row.seconds)}", file=console.file)
        return
    console.print(Text(title, style="bold"))
    # Labels take at most half of the line, so that narrow terminals have room for the bar.
    table = Table.grid(padding=(0, 1))
    table.add_column(max_width=console.width // 2, no_wrap=True, overflow="ellipsis")
    width = max(min(30, console.width // 2 - 16), 4)
    table.add_column(width=width)
    table.add_column(justify="right", no_wrap=True)
    for row in main:
        table.add_row(
            Text(
                f"  {row.label}" if row.is_step else row.label, style="dim" if row.is_step else ""
            ),
            ProgressBar(
                total=total,
                completed=row.seconds,
                complete_style="blue" if row.is_step else "cyan",
                finished_style="cyan",
            ),
            _precise_duration(row.seconds),
        )
    if ahead:
        table.add_row(Text(_AHEAD))
    # Nobody waited for it, so its bar is not solid.
    shade = ":" if console.options.ascii_only else "░"
    for row in ahead:
        bar = shade * max(round(width * min(row.seconds / total, 1.0)), 1)
        table.add_row(
            Text(f"  {row.label}", style="dim"),
            Text(bar, style="green"),
            _precise_duration(row.seconds),
        )
    console.print(table)


def _precise_duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 9.95 else duration(seconds)
