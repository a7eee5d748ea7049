"""The command line."""

from __future__ import annotations

import sys

from .._version import __version__

__all__ = ["main"]


def main() -> None:
    """Run the ``binderprogress`` command."""
    if sys.argv[1:] == ["--version"]:
        # Handled here because importing the commands takes much longer.
        print(__version__)
        return
    from . import app

    app.main()
