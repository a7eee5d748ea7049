"""The ``binderprogress`` command, which runs its subcommands."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from importlib import import_module

from .base import USAGE, CommandGroup, launch_command
from .commands import COMMANDS

__all__ = ["APPS", "BinderProgressApp", "load", "main"]

_EXTRAS = {"junitparser": "check", "rich": "cli", "shtab": "cli", "websockets": "check"}
"""Optional modules, and the extra that installs each."""


APPS = {
    "demo": "cli.demo.DemoApp",
    "launch": "cli.launch.LaunchApp",
    "build": "cli.build.BuildApp",
    "check": "cli.check.CheckApp",
    "why": "cli.why.WhyApp",
    "serve": "cli.serve.ServeApp",
    "hub-service": "deploy.jupyterhub_service.JupyterHubServiceApp",
    "prune": "cli.prune.PruneApp",
    "prepull": "cli.prepull.PrepullApp",
    "history": "cli.history.HistoryApp",
    "whatif": "cli.whatif.WhatIfApp",
    "completion": "cli.completion.CompletionApp",
}
"""The commands, and their classes in this package."""


class BinderProgressApp(CommandGroup):
    """Launch repositories as Jupyter servers, and show the progress."""

    name = "binderprogress"
    # As strings, so that each command only imports what it needs.
    subcommands = {  # noqa: RUF012 - traitlets' way
        name: (f"binderprogress.{path}", COMMANDS[name].summary) for name, path in APPS.items()
    }


def load(name: str) -> None:
    """Import a command, if it can be imported. Otherwise `main` says what is missing."""
    with suppress(ModuleNotFoundError):
        import_module(f"..{APPS[name].rpartition('.')[0]}", __package__)


def main(argv: list[str] | None = None) -> None:
    """Run the ``binderprogress`` command."""
    try:
        launch_command(BinderProgressApp, argv)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _EXTRAS:
            raise
        print(
            f"This command needs {module}, which is not installed. "
            f"Install it with: pip install 'binderprogress[{_EXTRAS[module]}]'",
            file=sys.stderr,
        )
        sys.exit(USAGE)
    finally:
        # Otherwise Python searches all objects for garbage as it ends, which takes 0.1 s.
        gc.freeze()
