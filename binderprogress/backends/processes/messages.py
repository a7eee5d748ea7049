"""The messages that a program in a separate process sends to the build that started it.

It prints JSON lines with a ``message``. The last line of a failure also has ``"failed": true``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .lines import Lines

__all__ = ["ProgramError", "print_message", "program_messages"]

_CHUNK = 65536
_LONGEST_LINE = 2**20


class ProgramError(Exception):
    """The program failed. The message is a sentence."""


def print_message(message: str, *, failed: bool = False) -> None:
    """Print one line, for `program_messages` to read.

    Parameters
    ----------
    message : str
    failed : bool
        Whether this is the reason why the program fails.
    """
    record: dict[str, Any] = {"message": message} | ({"failed": True} if failed else {})
    print(json.dumps(record), flush=True)  # noqa: T201 - its output


def program_messages(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, activity: str
) -> Iterator[str]:
    """Run a program to its end and yield its messages.

    Parameters
    ----------
    argv : sequence of str
    env : mapping of str to str
        All environment variables.
    cwd : Path
    activity : str
        The subject of error messages: ``Fetching``.

    Yields
    ------
    str
        Messages, and other lines of its output.

    Raises
    ------
    ProgramError
        If it fails.
    """
    problem = ""
    with subprocess.Popen(
        argv,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        lines = Lines(longest=_LONGEST_LINE)
        while chunk := os.read(process.stdout.fileno(), _CHUNK):
            for line in lines.feed(chunk):
                message, failed = _parse(line)
                if failed:
                    problem = message
                else:
                    yield message
        yield from lines.end()
    if process.returncode:
        raise ProgramError(problem or f"{activity} {_how_it_ended(process.returncode)}.")


def _parse(line: str) -> tuple[str, bool]:
    """Return the message of a line, and whether it is the reason of a failure."""
    try:
        record: Any = json.loads(line)
        return str(record["message"]), bool(record.get("failed"))
    except (ValueError, TypeError, KeyError, RecursionError):
        return line, False  # printed by bwrap, or by Python itself


def _how_it_ended(code: int) -> str:
    # In a namespace, the code of a process that was ended by a signal is higher by 128.
    number = -code if code < 0 else code - 128
    try:
        return f"was stopped by {signal.Signals(number).name}"
    except ValueError:
        return f"ended with {code}"
