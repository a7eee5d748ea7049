"""The command line."""

from __future__ import annotations

import gc
import os
import sys

from .._version import __version__
from .help import find_command, help_text
from .terminal import prefers_ascii, print_ascii, while_loading

__all__ = ["main"]

PIPE_CLOSED = 141
"""The exit code that shells report for a program which SIGPIPE ended."""


def main() -> None:
    """Run the ``binderprogress`` command."""
    try:
        try:
            _run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The program that read the output has ended, as `head` does. Python flushes once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(PIPE_CLOSED)


def _run() -> None:
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    given, rest = arguments[:end], arguments[end:]
    if prefers_ascii() or "--no-unicode" in given:
        print_ascii()
        given = [argument for argument in given if argument != "--no-unicode"]
    # Handled here because importing the commands takes much longer.
    if given == ["--version"]:
        print(__version__)
        return
    if given[:1] == ["help"]:
        given = [*given[1:], "--help"]
    name = find_command(given)
    if not {"-h", "--help", "--help-all"}.isdisjoint(given) and _names_a_command(name, given):
        print(help_text(name))
        if "--help-all" not in given:
            return
        print()
    # Modules are never freed, so nothing is collected while they are imported; see
    # `deploy.application.run`.
    gc.disable()
    with while_loading():
        from . import app

        if name:
            app.load(name.partition(" ")[0])
    app.main([*given, *rest])


def _names_a_command(name: str, given: list[str]) -> bool:
    """Whether what precedes the options names a command, or nothing. Others are unknown."""
    first = given[0] if given else "-"
    return bool(name) or first.startswith("-")
