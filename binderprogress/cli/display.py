"""Show the progress of a launch: in a terminal, as plain text, or as JSON."""

from __future__ import annotations

import sys
import time
from typing import Protocol, TextIO

from rich.console import Console, Group, OverflowMethod, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.style import Style
from rich.table import Table
from rich.text import Span, Text

from ..core.events import Event, encode
from ..core.phases import BAD_ENDS, Phase
from ..core.printable import escape_json, printable
from .failure import LogLines, Offer, Remedy, ending, print_failure
from .terminal import ascii_json
from .times import duration, ready_by, time_left, took

__all__ = [
    "Display",
    "JsonDisplay",
    "PlainDisplay",
    "QuietDisplay",
    "TerminalDisplay",
    "colored",
    "phase_label",
    "step_label",
]

_NARROW = 60
"""Columns below which the step and the times have a line each."""

LABELS = {
    Phase.WAITING: "Checking",
    Phase.FETCHING: "Fetching",
    Phase.BUILDING: "Building",
    Phase.PUSHING: "Pushing",
    Phase.BUILT: "Built",
    Phase.LAUNCHING: "Launching",
    Phase.READY: "Ready",
    Phase.FAILED: "Failed",
    Phase.CANCELLED: "Cancelled",
}

_WAITS = {"queued": "Queued", "hub-away": "Waiting", "binderhub-away": "Waiting"}
"""Labels of the phase `waiting` in steps that check nothing."""


def step_label(label: str, command: str) -> str:
    """Return the label of a step and, of numbered ones, what it does."""
    return printable(" · ".join(filter(None, [label, command])))


def phase_label(phase: Phase, step_key: str) -> str:
    """Return the label of a phase. `waiting` has several, because it waits for different things."""
    label = _WAITS.get(step_key) if phase is Phase.WAITING else None
    return label or LABELS[phase]


class Display(Protocol):
    """Shows the events of a launch."""

    def __enter__(self) -> Display: ...

    def __exit__(self, *_: object) -> None: ...

    def say(self, sentence: str) -> None:
        """Show what is being done before the first event."""
        ...

    def show(self, event: Event) -> None:
        """Show one event."""
        ...


class QuietDisplay:
    """Shows nothing."""

    def __enter__(self) -> QuietDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def say(self, sentence: str) -> None:
        """Do nothing."""

    def show(self, event: Event) -> None:
        """Do nothing."""


class JsonDisplay:
    """Prints each event as one line of JSON, and to standard error how the launch failed."""

    def __init__(self) -> None:
        self._last: Event | None = None

    def __enter__(self) -> JsonDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        if sentences := _in_one_line(self._last):
            print(sentences, file=sys.stderr)

    def say(self, sentence: str) -> None:
        """Do nothing, because it is no event."""

    def show(self, event: Event) -> None:
        """Print the event."""
        self._last = event
        print(ascii_json(escape_json(encode(event).decode())), flush=True)


class PlainDisplay:
    """Prints phases, steps and the log as lines, for files and pipes.

    Parameters
    ----------
    out : file, optional
        The default is standard output.
    ending : bool
        Whether the last lines say how a launch failed.
    remedy : callable, optional
        Returns the command that helps.
    offer : callable, optional
        Returns the line that offers an earlier version.
    """

    def __init__(
        self,
        out: TextIO | None = None,
        *,
        ending: bool = True,
        remedy: Remedy = lambda _: "",
        offer: Offer = lambda _: "",
    ) -> None:
        self._out = sys.stdout if out is None else out
        self._ending = _Ending(remedy) if ending else None
        self._offer = offer
        self._phase = ""
        self._step = ""

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        if self._ending is not None:
            # The lines are not wrapped, and have no colors.
            self._ending.print(Console(file=self._out, highlight=False, width=10_000))
            self._out.flush()

    def say(self, sentence: str) -> None:
        """Print the sentence."""
        print(f"== {sentence}", file=self._out, flush=True)

    def show(self, event: Event) -> None:
        """Print the phase and the step if they have changed, and the message."""
        if self._ending is not None:
            self._ending.take(event)
        if event.phase in BAD_ENDS:
            # The last line says so.
            return
        phase = phase_label(event.phase, event.step_key)
        if phase != self._phase:
            self._phase = phase
            after = (took if event.terminal else duration)(event.elapsed)
            print(f"== {phase} ({after})", file=self._out)
        # Not the step of the first layer, because the number of layers is still unknown then.
        step = _step_text(event)
        if step and step != self._step and not _is_first_layer(event):
            self._step = step
            print(f"-- {step}", file=self._out)
        if offer := _offered(event, self._offer):
            print(f"== {offer}", file=self._out)
        elif event.message and not event.message.endswith("\r"):
            # Lines that end in \r, such as progress bars, only make sense in a terminal.
            print(printable(event.message.rstrip()), file=self._out)
        self._out.flush()


def _offered(event: Event, offer: Offer) -> str:
    """Return the line that offers an earlier version; empty if none is offered."""
    return "" if event.earlier is None else printable(offer(event.earlier))


def _step_text(event: Event) -> str:
    """Return the label of a step and, of numbered ones, what it does."""
    return step_label(event.step, event.step_command)


def _is_first_layer(event: Event) -> bool:
    return event.step_key != "step" and event.step_index == 1


class TerminalDisplay:
    """Shows the log, and below it a progress bar that also moves between events.

    Parameters
    ----------
    console : rich.console.Console, optional
    ending : bool
        Whether the last lines say how a launch failed.
    remedy : callable, optional
        Returns the command that helps.
    offer : callable, optional
        Returns the line that offers an earlier version.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        ending: bool = True,
        remedy: Remedy = lambda _: "",
        offer: Offer = lambda _: "",
    ) -> None:
        self._console = console or Console(highlight=False)
        self._ending = _Ending(remedy) if ending else None
        self._offer = offer
        self._event: Event | None = None
        self._received = 0.0
        self._progress = 0.0
        self._usual = 0.0
        self._transient = ""
        self._sentence = "Connecting"
        # Must be last, because it renders at once.
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=12)

    def __enter__(self) -> TerminalDisplay:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        # What was done before the first event is not worth keeping, nor is the bar of a failure.
        event = self._event
        self._live.transient = event is None or event.phase in BAD_ENDS
        self._live.stop()
        if self._ending is not None:
            self._ending.print(self._console)

    def say(self, sentence: str) -> None:
        """Show the sentence until the first event."""
        self._sentence = sentence
        self._live.refresh()

    def show(self, event: Event) -> None:
        """Print the message of an event, and update the bar."""
        if event.eta is not None and (self._event is None or event.phase is not self._event.phase):
            # At the beginning of a phase, nothing is late yet.
            self._usual = event.elapsed + event.eta
        if self._ending is not None:
            self._ending.take(event)
        self._event, self._received = event, time.monotonic()
        if event.message.endswith("\r"):
            self._transient = printable(event.message).rstrip()
            return
        self._transient = ""
        if offer := _offered(event, self._offer):
            # In one line, so that it can be copied.
            self._console.print(Text(offer), soft_wrap=True)
        elif event.phase not in BAD_ENDS and (text := colored(event.message)):
            self._console.print(text)

    def _render(self) -> RenderableType:
        event = self._event
        if event is None:
            return Text(f"{self._sentence} …", no_wrap=True, overflow="ellipsis")
        if event.phase in BAD_ENDS:
            # The last lines say so.
            return Text()
        now = time.monotonic()
        since = now - self._received
        progress = event.curve.at(since) if event.curve else event.progress
        self._progress = max(self._progress, progress)
        color = "green" if event.phase is Phase.READY else "cyan"
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(width=10)
        row.add_column(ratio=1)
        row.add_column(width=4, justify="right")
        row.add_row(
            Text(phase_label(event.phase, event.step_key), style=f"bold {color}"),
            ProgressBar(
                total=100, completed=self._progress, complete_style=color, finished_style=color
            ),
            f"{self._progress:.0f}%",
        )
        remaining = "" if event.terminal else _remaining(event, since, self._usual)
        elapsed = took(event.elapsed) if event.terminal else duration(event.elapsed + since)
        step = Text(self._transient or _step_text(event))
        times = Text(f"{elapsed} · {remaining}" if remaining else elapsed, style="dim")
        by = _ready_by(event, since) if remaining else ""
        # The step says more: where there is no room for both, it stays.
        if by and step.cell_len + times.cell_len + len(by) + 4 <= self._console.width:
            times.append(f" · {by}")
        if self._console.width < _NARROW:
            if len(times) > self._console.width:
                times = Text(remaining, style="dim")
            lines = [step, times] if step else [times]
            for line in lines:
                line.truncate(self._console.width)
            return Group(row, *lines)
        below = Table.grid(padding=(0, 1), expand=True)
        # An ellipsis is wider where there is only ASCII.
        overflow: OverflowMethod = "crop" if self._console.options.ascii_only else "ellipsis"
        below.add_column(ratio=1, no_wrap=True, overflow=overflow)
        below.add_column(justify="right", no_wrap=True)
        below.add_row(step, times)
        return Group(row, below)


def colored(message: str) -> Text:
    """Return a message of the log with the colors that it has. Without any, it is dim.

    Attack: text that is concealed or blinks. Only colors and common fonts are kept.
    """
    safe = printable(message, colors=True).rstrip()
    if "\x1b" not in safe:
        return Text(safe, style="dim") if safe.strip() else Text()
    text = Text.from_ansi(safe)
    text.spans = [
        Span(span.start, span.end, _harmless(span.style))
        for span in text.spans
        if isinstance(span.style, Style)
    ]
    return text if text.plain.strip() else Text()


def _harmless(style: Style) -> Style:
    return Style(
        color=style.color,
        bgcolor=style.bgcolor,
        bold=style.bold,
        dim=style.dim,
        italic=style.italic,
        underline=style.underline,
    )


class _Ending:
    """Gathers what is said when a launch fails, and prints it then.

    Parameters
    ----------
    remedy : callable
        Returns the command that helps.
    """

    def __init__(self, remedy: Remedy) -> None:
        self._remedy = remedy
        self._log = LogLines()
        self._where = ""
        self._last: Event | None = None

    def take(self, event: Event) -> None:
        """Take the next event."""
        if event.phase not in BAD_ENDS:
            step = _step_text(event)
            phase = phase_label(event.phase, event.step_key)
            # A step may name its phase: "Checking for a cached environment".
            self._where = step if step.startswith(phase) else f"{phase}: {step}".rstrip(": ")
            self._log.add(event.message)
        self._last = event

    def print(self, console: Console) -> None:
        """Print it if the launch has failed or was cancelled."""
        event = self._last
        if event is not None and event.phase in BAD_ENDS:
            numbers = self._log.numbers(event.evidence)
            command = self._remedy(event) if event.phase is Phase.FAILED else ""
            print_failure(console, event, numbers=numbers, where=self._where, command=command)


def _in_one_line(last: Event | None) -> str:
    """Return how a launch failed, why, and what to do; an empty string if it has not failed."""
    if last is None or last.phase not in BAD_ENDS:
        return ""
    if last.phase is Phase.CANCELLED:
        return ending(last)
    sentences = [printable(last.message).strip(), printable(last.advice)]
    return " ".join([ending(last), *filter(None, sentences)])


def _remaining(event: Event, since: float, usual: float) -> str:
    """Format the estimated remaining time, `since` seconds after the event."""
    if event.eta is None or event.eta_low is None or event.eta_high is None:
        return ""
    late = _until_late(event) - since
    return time_left(event.eta - since, event.eta_low - since, event.eta_high - since, late, usual)


def _ready_by(event: Event, since: float) -> str:
    """Format by when the server is ready at the latest, `since` seconds after the event."""
    latest = None if event.eta_latest is None else event.eta_latest - since
    return ready_by(latest, time.time(), is_late=_until_late(event) <= since)


def _until_late(event: Event) -> float:
    """Return the seconds until the launch takes longer than usual."""
    known = event.eta_high if event.eta_late is None else event.eta_late
    return known or 0.0
