"""The command line."""

from __future__ import annotations

import gc
import os
import sys

from .._version import __version__

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
    if sys.argv[1:] == ["--version"]:
        # Handled here because importing the commands takes much longer.
        print(__version__)
        return
    # Modules are never freed, so nothing is collected while they are imported; see
    # `deploy.application.run`.
    gc.disable()
    from . import app

    app.main()
