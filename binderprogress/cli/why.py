"""``binderprogress why [FILE]``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from traitlets import Bool

from ..core.log.diagnosis import Diagnosis, diagnose
from ..core.log.reasons import RuleSet
from ..core.log.sources import ReadLog, read_source
from ..core.printable import escape_json, printable
from ..core.redact import redact
from ..errors import ConfigError
from ..launches.reasons import Reasons
from .base import Command
from .terminal import ascii_json

__all__ = ["NOTHING_FAILED", "UNEXPLAINED", "WhyApp"]

UNEXPLAINED = 1
NOTHING_FAILED = 4
"""Exit codes, beside 0: something failed, and a rule explains it."""

_FAULTS = {
    "repository": "The author of the repository can fix this.",
    "request": "Whoever launches it can fix this.",
    "server": "The administrator of the server can fix this.",
    "network": "Nobody has to change anything: it is the network or a service on it.",
    "unknown": "",
}


class WhyApp(Command):
    """Say why a build or a launch failed, from its log.

    The log is read from a file or from standard input. It may be the output of a builder, the JSON
    lines of repo2docker, the events of a JupyterHub's progress stream, or the records of a
    BinderHub. Exit codes: 0 if a rule explains the failure, 1 if it failed but no rule explains
    why, 2 for wrong usage, 4 if nothing failed.
    """

    name = "why"
    takes_arguments = True
    classes = [Reasons]  # noqa: RUF012 - traitlets' way
    aliases = {**Command.aliases, "rules": "Reasons.files"}  # noqa: RUF012 - traitlets' way
    flags = {  # noqa: RUF012
        **Command.flags,
        "json": ({"WhyApp": {"json": True}}, "Print one JSON object, and nothing else."),
    }

    json = Bool(False, help="Print one JSON object, and nothing else.").tag(config=True)

    async def main(self) -> int:
        """Read the log and print what it says."""
        if len(self.extra_args) > 1:
            self.usage("Name one log file.")
        log = await asyncio.to_thread(self._read)
        rules = self._rules()
        otherwise = "spawn-failed" if log.kind == "spawn" else "build-failed"
        diagnosis = diagnose(log.lines, otherwise=otherwise, kind=log.kind, rules=rules)
        if not (diagnosis.failed if log.failed is None else log.failed):
            print("null" if self.json else "Nothing failed in this log.")
            return NOTHING_FAILED
        numbers = [log.numbers[place] for place in diagnosis.numbers]
        print(_as_json(diagnosis, numbers) if self.json else _as_text(diagnosis, numbers))
        return 0 if diagnosis.rule else UNEXPLAINED

    def _rules(self) -> RuleSet:
        try:
            return Reasons(parent=self).rules()
        except ConfigError as error:
            # Exit code 1 means something else here.
            self.usage(str(error))
            raise

    def _read(self) -> ReadLog:
        if not self.extra_args or self.extra_args[0] == "-":
            if sys.stdin.isatty():
                print("Reading the log from the terminal. End it with Ctrl-D.", file=sys.stderr)
            return read_source(_lines(sys.stdin.buffer))
        try:
            with Path(self.extra_args[0]).open("rb") as file:
                return read_source(_lines(file))
        except OSError as error:
            self.usage(f"{self.extra_args[0]} cannot be read: {error.strerror}.")
            raise


def _lines(file: Iterator[bytes]) -> Iterator[str]:
    for line in file:
        yield line.decode("utf-8", "replace")


def _as_json(diagnosis: Diagnosis, numbers: list[int]) -> str:
    shown = {
        "reason": diagnosis.reason,
        "subject": redact(diagnosis.subject),
        "message": redact(diagnosis.message),
        "advice": redact(diagnosis.advice),
        "evidence": [redact(text) for text in diagnosis.evidence],
        "lines": numbers,
        "fault": diagnosis.fault,
        "retry": diagnosis.retry,
        "file": diagnosis.file,
        "line": diagnosis.line,
        "rule": diagnosis.rule,
    }
    return ascii_json(escape_json(msgspec.json.encode(shown).decode()))


def _as_text(diagnosis: Diagnosis, numbers: list[int]) -> str:
    width = len(str(max(numbers, default=0)))
    evidence = [
        f"  {number:>{width}}  {text}"
        for number, text in zip(numbers, diagnosis.evidence, strict=True)
    ]
    parts = [
        f"{diagnosis.message}\n{diagnosis.advice}",
        "\n".join(evidence),
        "\n".join(
            [
                _FAULTS[diagnosis.fault],
                "Trying again can help." if diagnosis.retry else "Trying again does not help.",
                f"Rule: {diagnosis.rule}" if diagnosis.rule else "No rule explains it.",
            ]
        ).strip(),
    ]
    return printable(redact("\n\n".join(part for part in parts if part)))
