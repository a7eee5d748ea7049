"""What all commands have in common."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from jupyter_core.application import JupyterApp, NoStart, base_aliases, base_flags
from traitlets.config.loader import KVArgParseConfigLoader

from .._version import __version__
from ..errors import BinderProgressError

__all__ = ["FAILED", "INTERRUPTED", "UNREACHABLE", "USAGE", "Command", "stop_event"]

FAILED, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130
"""Exit codes beside 0."""


class _Loader(KVArgParseConfigLoader):
    """Takes a mistyped option for what it is: an error."""

    def _handle_unrecognized_alias(self, arg: str) -> None:
        self.parser.error(f"unknown option: {arg}")


class Command(JupyterApp):
    """A command: a traitlets application that ends with an exit code."""

    version = __version__
    aliases = {**base_aliases, "f": "JupyterApp.config_file"}  # noqa: RUF012 - traitlets' way
    flags = {k: v for k, v in base_flags.items() if k != "y"}  # noqa: RUF012
    # One file for all commands: an operator has one server.
    config_file_name = "binderprogress_config"

    def _create_loader(self, argv: Any, aliases: Any, flags: Any, classes: Any) -> Any:
        return _Loader(
            argv, aliases, flags, classes=classes, log=self.log, subcommands=self.subcommands
        )

    def exit(self, exit_status: int | str | None = 0) -> None:
        """End; traitlets calls this with 1 for a value that does not fit, which is wrong usage."""
        super().exit(USAGE if exit_status == 1 else exit_status)

    def usage(self, message: str) -> None:
        """End with a sentence about what was typed."""
        print(f"{message}\nTry: binderprogress {self.name} --help", file=sys.stderr)
        self.exit(USAGE)

    def start(self) -> None:
        """Run `main` and end with its exit code."""
        super().start()
        sys.exit(run(self.main()))

    async def main(self) -> int:
        """Do the work and return the exit code."""
        return 0


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run a command's work; errors that are for its user become sentences."""
    try:
        return asyncio.run(main)
    except BinderProgressError as error:
        print(error, file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def stop_event() -> asyncio.Event:
    """Return an event that Ctrl-C and SIGTERM set."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, event.set)
    return event


def launch_command(command: type[Command], argv: list[str] | None) -> None:
    """Run a command; `NoStart` is how Jupyter's applications say that all is done."""
    app = command.instance()
    app.initialize(argv)
    try:
        app.start()
    except NoStart:
        return
