"""How a launch failed, in a terminal: why, what to do, the lines that show it, and what to run.

Also what to run while a launch builds.
"""

from __future__ import annotations

import shlex
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..core import specs
from ..core.events import Earlier, Event
from ..core.phases import Phase
from ..core.printable import plain, printable
from .times import day, took

__all__ = ["Invocation", "LogLines", "Offer", "Remedy", "ending", "print_failure"]

_SEARCHED = 5000
"""How many of the newest lines are searched for evidence."""

_GIT = {"gh", "gl", "gist", "git"}
"""Providers whose refs git can list."""

Remedy = Callable[[Event], str]
"""Returns the command that helps after a failure, or an empty string."""

Offer = Callable[[Earlier], str]
"""Returns the line that offers an earlier version, or an empty string."""

_OFFERS = {
    "commit": "Start the version of {date} now",
    "build": "Start the version that was built on {date} now",
    "launch": "Start the version that was last launched on {date} now",
}


class LogLines:
    """The newest lines of a log with their numbers, to find those that a failure quotes."""

    def __init__(self) -> None:
        self._lines: deque[tuple[int, str]] = deque(maxlen=_SEARCHED)
        self._last = 0

    def add(self, message: str) -> None:
        """Take the message of an event. What ends in a carriage return is overwritten."""
        *lines, rest = message.replace("\r\n", "\n").split("\n")
        if rest and not rest.endswith("\r"):
            lines.append(rest)
        for line in lines:
            self._last += 1
            self._lines.append((self._last, plain(line.rpartition("\r")[2]).strip()))

    def numbers(self, evidence: Sequence[str]) -> list[int | None]:
        """Return the number of each line from 1; None if it is not in the log."""
        found: list[int | None] = []
        before = self._last + 1
        for quoted in reversed(evidence):
            # An excerpt of a long line begins or ends with an ellipsis.
            text = quoted.strip().strip("…").strip()
            at = self._last_with(text, before) if text else None
            before = at or before
            found.append(at)
        return found[::-1]

    def _last_with(self, text: str, before: int) -> int | None:
        return next(
            (at for at, line in reversed(self._lines) if at < before and text in line), None
        )


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """How the launch was requested, for the command that helps. It has no token.

    Attributes
    ----------
    command : str
        ``launch`` or ``build``.
    repository : str
        As the user wrote it.
    spec : Spec
    ref, server : str
        Options, or empty strings.
    """

    command: str
    repository: str
    spec: specs.Spec
    ref: str = ""
    server: str = ""

    def remedy(self, event: Event) -> str:
        """Return the command that helps after a failure; an empty string if none does."""
        if event.reason == "unsupported-file" and not self.server:
            return self._again("--engine", "docker")
        if event.fault == "request" and not event.retry:
            if self.spec.provider not in _GIT:
                return ""
            return shlex.join(["git", "ls-remote", self.spec.repo_url])
        if event.fault == "repository" and self.spec.is_local and event.file:
            folder = self.repository.rstrip("/")
            return f"${{EDITOR:-vi}} {shlex.quote(f'{folder}/{event.file}')}"
        if event.fault == "repository" and not self.server:
            # A corrected copy can be launched before it is published.
            return f"{shlex.join(['git', 'clone', self.spec.repo_url])}" if self._is_git else ""
        return "" if event.retry is False else self._again()

    def offer(self, earlier: Earlier) -> str:
        """Return the line that offers an earlier version."""
        if self.command != "launch":
            return ""
        server = ["--server", self.server] if self.server else []
        # A spec never begins with a hyphen.
        command = shlex.join(["binderprogress", "launch", earlier.spec, *server])
        date = day(earlier.date, time.time())
        return f"{_OFFERS[earlier.date_of].format(date=date)}: {command}"

    @property
    def _is_git(self) -> bool:
        return self.spec.provider in _GIT and not self.spec.is_local

    def _again(self, *more: str) -> str:
        options = [part for name in ("ref", "server") for part in self._option(name)]
        return shlex.join(["binderprogress", self.command, self.repository, *options, *more])

    def _option(self, name: str) -> Iterator[str]:
        if value := getattr(self, name):
            yield from (f"--{name}", value)


def ending(event: Event) -> str:
    """Return the last line about a launch: how it ended, and after which time."""
    how = "was cancelled" if event.phase is Phase.CANCELLED else "failed"
    return f"The launch {how} after {took(event.elapsed)}."


def print_failure(
    console: Console, event: Event, *, numbers: Sequence[int | None], where: str, command: str
) -> None:
    """Print why a launch failed, and how it ended as the last line.

    Parameters
    ----------
    console : rich.console.Console
    event : Event
        The last one.
    numbers : sequence of int or None
        The numbers of the lines of the evidence in the log.
    where : str
        The phase and the step that it had reached.
    command : str
        The command that helps; may be empty.
    """
    message = printable(event.message).strip()
    if event.reason != "cancelled" and message:
        console.print(Text(message, style="bold red" if event.phase is Phase.FAILED else "bold"))
    if event.advice:
        console.print(Text(printable(event.advice)))
    if event.evidence:
        rows = Table.grid(padding=(0, 2))
        rows.add_column(justify="right", no_wrap=True, style="dim")
        rows.add_column(overflow="fold")
        for number, text in zip(numbers, event.evidence, strict=True):
            rows.add_row(str(number or ""), Text(printable(text)))
        console.print(rows)
    if where:
        console.print(Text(where, style="dim"))
    if command:
        # In one line, so that it can be copied.
        console.print(Text(f"Try: {printable(command)}"), soft_wrap=True)
    console.print(Text(ending(event), style="red" if event.phase is Phase.FAILED else ""))
