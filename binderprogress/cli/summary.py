"""Where the time of a launch went, for the end of what a terminal shows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

import msgspec
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..core.events import Event
from ..core.phases import Phase
from ..core.printable import printable
from ..core.timing.breakdown import Trace, TracedSpan, trace
from .display import LABELS, duration

__all__ = ["Row", "Seen", "print_rows", "rows"]

_LONGEST = 5
"""Steps that are named; there may be a hundred."""

_SHORT = 0.05
"""Seconds; what took less is shown as nothing, so it is not shown."""


class Seen:
    """The events of a launch that say where its time went; a log has many that do not."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._last: Event | None = None

    def add(self, event: Event) -> None:
        """Take in an event."""
        if self._last is None or _place(event) != _place(self._last):
            self._events.append(msgspec.structs.replace(event, message="", source=None))
        self._last = event

    def trace(self) -> Trace:
        """Say where the time went; there must have been an event."""
        return trace(self._events, began=self._events[0].time)


def _place(event: Event) -> tuple[object, ...]:
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
    part : bool
        Whether it is a step of the phase above it.
    """

    label: str
    seconds: float
    part: bool = False


def rows(found: Trace) -> list[Row]:
    """Return the phases, and below each those of the longest steps that are its own.

    Steps that were there already are summed up.
    """
    phases: dict[Phase, dict[str, float]] = {}
    cached: dict[Phase, int] = {}
    for span in found.spans:
        steps = phases.setdefault(span.phase, {})
        cached[span.phase] = cached.get(span.phase, 0) + span.cached
        label = _label(span)
        steps[label] = steps.get(label, 0.0) + span.seconds
    named = _longest(phases)
    lines: list[Row] = []
    for phase, steps in phases.items():
        whole = sum(steps.values())
        if whole < _SHORT:
            continue
        lines.append(Row(LABELS[phase], whole))
        for label, seconds in steps.items():
            if (phase, label) in named:
                text = label or f"Cached steps: {cached[phase]}"
                lines.append(Row(text, seconds, part=True))
    return lines


def _label(span: TracedSpan) -> str:
    # No step is called nothing: that is for those that were cached.
    return "" if span.cached else printable(span.label) or "Other"


def _longest(phases: dict[Phase, dict[str, float]]) -> set[tuple[Phase, str]]:
    steps = [
        (seconds, phase, label)
        for phase, found in phases.items()
        for label, seconds in found.items()
        # The only one of a phase says no more than the phase.
        if len(found) > 1 and seconds >= _SHORT
    ]
    steps.sort(key=lambda step: -step[0])
    longest = {(phase, label) for _, phase, label in steps[:_LONGEST]}
    return longest | {(phase, label) for _, phase, label in steps if not label}


def print_rows(lines: Sequence[Row], *, out: TextIO | None = None) -> None:
    """Print the summary: with bars on a terminal, and as plain lines elsewhere."""
    if not lines:
        return
    console = Console(file=out or sys.stdout, highlight=False)
    total = sum(row.seconds for row in lines if not row.part)
    title = f"Where the time went ({_took(total)})"
    if not console.is_terminal:
        print(f"== {title}", file=console.file)
        for row in lines:
            indent = "   " if row.part else ""
            print(f"{indent}{row.label}: {_took(row.seconds)}", file=console.file)
        return
    console.print(Text(title, style="bold"))
    # Labels keep at most half the line, so that there is a bar in a narrow terminal, too.
    table = Table.grid(padding=(0, 1))
    table.add_column(max_width=console.width // 2, no_wrap=True, overflow="ellipsis")
    table.add_column(width=max(min(30, console.width // 2 - 16), 4))
    table.add_column(justify="right", no_wrap=True)
    for row in lines:
        table.add_row(
            Text(f"  {row.label}" if row.part else row.label, style="dim" if row.part else ""),
            ProgressBar(
                total=total,
                completed=row.seconds,
                complete_style="blue" if row.part else "cyan",
                finished_style="cyan",
            ),
            _took(row.seconds),
        )
    console.print(table)


def _took(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 9.95 else duration(seconds)
