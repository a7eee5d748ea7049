"""How a launch looks in a terminal, in a file, and to a program."""

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
    "time_left",
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
    """Shows a launch."""

    def __enter__(self) -> Display: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, event: Event) -> None:
        """Show one event."""
        ...


class QuietDisplay:
    """Nothing."""

    def __enter__(self) -> QuietDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, event: Event) -> None:
        """Show nothing."""


class JsonDisplay:
    """One event a line, as JSON."""

    def __enter__(self) -> JsonDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, event: Event) -> None:
        """Print the event's JSON."""
        print(escape_json(encode(event).decode()), flush=True)
        if event.phase in {Phase.FAILED, Phase.CANCELLED}:
            print(failure(event), file=sys.stderr)


class PlainDisplay:
    """Lines for a file or a pipe: each phase once, and the log."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._phase: Phase | None = None
        self._step = ""

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, event: Event) -> None:
        """Print what is new."""
        if event.phase is not self._phase:
            self._phase = event.phase
            print(f"== {LABELS[event.phase]} ({duration(event.elapsed)})", file=self._out)
        # Layers become known one by one, by lines of the log; at the first one all are.
        if event.step and event.step != self._step and not _is_first_layer(event):
            self._step = event.step
            print(f"-- {printable(event.step)}", file=self._out)
        if event.phase is Phase.FAILED:
            print(failure(event), file=self._out)
        elif event.message and not event.message.endswith("\r"):
            # A line that overwrites itself is for a terminal.
            print(printable(event.message.rstrip()), file=self._out)
        self._out.flush()


def _is_first_layer(event: Event) -> bool:
    return event.step_key != "step" and event.step_index == 1


class TerminalDisplay:
    """The log, scrolling, and below it a bar that moves between events too."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._event: Event | None = None
        self._came = 0.0
        self._shown = 0.0
        self._began = time.monotonic()
        self._overwritten = ""
        # Last: it renders at once.
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=12)

    def __enter__(self) -> TerminalDisplay:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        """Take in an event; the bar draws itself."""
        self._event, self._came = event, time.monotonic()
        if event.phase is Phase.FAILED:
            # What the log says of it stands above; the reason comes last, where one looks.
            self._console.print(Text(failure(event), style="red"))
            return
        message = printable(event.message)
        if event.message.endswith("\r"):
            self._overwritten = message.rstrip()
            return
        self._overwritten = ""
        if message.strip():
            self._console.print(Text(message.rstrip(), style="dim"))

    def _render(self) -> RenderableType:
        event = self._event
        if event is None:
            return Text("Connecting …")
        now = time.monotonic()
        at = event.curve.at(now - self._came) if event.curve else event.progress
        self._shown = max(self._shown, at)
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
                total=100, completed=self._shown, complete_style=color, finished_style=color
            ),
            f"{self._shown:.0f}%",
        )
        below = Table.grid(padding=(0, 1), expand=True)
        below.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        below.add_column(justify="right", no_wrap=True)
        left = "" if event.terminal else time_left(event, now - self._came)
        elapsed = duration(event.elapsed if event.terminal else now - self._began)
        below.add_row(
            Text(self._overwritten or printable(event.step)),
            Text(f"{elapsed} · {left}" if left else elapsed, style="dim"),
        )
        return Group(row, below)


def failure(event: Event) -> str:
    """Say why it failed, and what to do, in words."""
    return " ".join(
        part for part in (printable(event.message).strip(), printable(event.advice)) if part
    )


def duration(seconds: float) -> str:
    """Write a duration as people say it: 8 s, 1 min 20 s, 1 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def time_left(event: Event, since: float) -> str:
    """Write how long it will still take, `since` seconds after the event."""
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
