"""Show the progress of a launch: in a terminal, as plain text, or as JSON."""

from __future__ import annotations

import sys
import time
from typing import Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..core.events import Event, encode
from ..core.phases import Phase
from ..core.printable import escape_json, printable

__all__ = [
    "LABELS",
    "Display",
    "JsonDisplay",
    "PlainDisplay",
    "QuietDisplay",
    "TerminalDisplay",
    "duration",
    "remaining_text",
]

LABELS = {
    Phase.WAITING: "Waiting",
    Phase.FETCHING: "Fetching",
    Phase.BUILDING: "Building",
    Phase.PUSHING: "Pushing",
    Phase.BUILT: "Built",
    Phase.LAUNCHING: "Launching",
    Phase.READY: "Ready",
    Phase.FAILED: "Failed",
    Phase.CANCELLED: "Cancelled",
}


class Display(Protocol):
    """Shows the events of a launch."""

    def __enter__(self) -> Display: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, event: Event) -> None:
        """Show one event."""
        ...


class QuietDisplay:
    """Shows nothing."""

    def __enter__(self) -> QuietDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, event: Event) -> None:
        """Do nothing."""


class JsonDisplay:
    """Prints each event as one line of JSON."""

    def __enter__(self) -> JsonDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, event: Event) -> None:
        """Print the event. If the launch failed, print the reason to stderr, too."""
        print(escape_json(encode(event).decode()), flush=True)
        if event.phase in {Phase.FAILED, Phase.CANCELLED}:
            print(failure_text(event), file=sys.stderr)


class PlainDisplay:
    """Prints phases, steps and the log as lines, for files and pipes."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._phase: Phase | None = None
        self._step = ""

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, event: Event) -> None:
        """Print the phase and the step if they have changed, and the message."""
        if event.phase is not self._phase:
            self._phase = event.phase
            print(f"== {LABELS[event.phase]} ({duration(event.elapsed)})", file=self._out)
        # Not the step of the first layer, because the number of layers is still unknown then.
        if event.step and event.step != self._step and not _is_first_layer(event):
            self._step = event.step
            print(f"-- {printable(event.step)}", file=self._out)
        if event.phase is Phase.FAILED:
            print(failure_text(event), file=self._out)
        elif event.message and not event.message.endswith("\r"):
            # Lines that end in \r, such as progress bars, only make sense in a terminal.
            print(printable(event.message.rstrip()), file=self._out)
        self._out.flush()


def _is_first_layer(event: Event) -> bool:
    return event.step_key != "step" and event.step_index == 1


class TerminalDisplay:
    """Shows the log, and below it a progress bar that also moves between events."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._event: Event | None = None
        self._received = 0.0
        self._progress = 0.0
        self._started = time.monotonic()
        self._transient = ""
        # Must be last, because it renders at once.
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=12)

    def __enter__(self) -> TerminalDisplay:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        """Print the message of an event, and update the bar."""
        self._event, self._received = event, time.monotonic()
        if event.phase is Phase.FAILED:
            self._console.print(Text(failure_text(event), style="red"))
            return
        message = printable(event.message)
        if event.message.endswith("\r"):
            self._transient = message.rstrip()
            return
        self._transient = ""
        if message.strip():
            self._console.print(Text(message.rstrip(), style="dim"))

    def _render(self) -> RenderableType:
        event = self._event
        if event is None:
            return Text("Connecting …")
        now = time.monotonic()
        since = now - self._received
        progress = event.curve.at(since) if event.curve else event.progress
        self._progress = max(self._progress, progress)
        color = {Phase.READY: "green", Phase.FAILED: "red", Phase.CANCELLED: "yellow"}.get(
            event.phase, "cyan"
        )
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(width=10)
        row.add_column(ratio=1)
        row.add_column(width=4, justify="right")
        row.add_row(
            Text(LABELS[event.phase], style=f"bold {color}"),
            ProgressBar(
                total=100, completed=self._progress, complete_style=color, finished_style=color
            ),
            f"{self._progress:.0f}%",
        )
        below = Table.grid(padding=(0, 1), expand=True)
        below.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        below.add_column(justify="right", no_wrap=True)
        remaining = "" if event.terminal else remaining_text(event, since)
        elapsed = duration(event.elapsed if event.terminal else now - self._started)
        below.add_row(
            Text(self._transient or printable(event.step)),
            Text(f"{elapsed} · {remaining}" if remaining else elapsed, style="dim"),
        )
        return Group(row, below)


def failure_text(event: Event) -> str:
    """Return the message and the advice of a failed launch."""
    return " ".join(
        part for part in (printable(event.message).strip(), printable(event.advice)) if part
    )


def duration(seconds: float) -> str:
    """Format a duration for people: ``8 s``, ``1 min 20 s``, ``1 h 5 min``."""
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60} min"


def remaining_text(event: Event, since: float) -> str:
    """Format the estimated remaining time, `since` seconds after the event."""
    if event.eta is None or event.eta_low is None or event.eta_high is None:
        return ""
    low, high = event.eta_low - since, event.eta_high - since
    late = event.eta_high if event.eta_late is None else event.eta_late
    if late - since <= 0:
        return "longer than usual"
    if low < 1:
        return f"up to {duration(max(high, 1))} left"
    if high < 60:
        return f"{low:.0f}–{high:.0f} s left"
    return f"{duration(low)} to {duration(high)} left"
