"""Shared code of the commands."""

from __future__ import annotations

import asyncio
import sys
import webbrowser
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from traitlets.config.loader import Config

from ..deploy.application import (
    FAILED,
    INTERRUPTED,
    UNREACHABLE,
    USAGE,
    Command,
    launch_command,
    print_line,
    stop_event,
)
from ..deploy.options import suggestion
from .help import help_text

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "UNREACHABLE",
    "USAGE",
    "Command",
    "CommandGroup",
    "allow_folder",
    "launch_command",
    "open_in_browser",
    "print_line",
    "readable_size",
    "run_until_stopped",
    "stop_event",
]

_T = TypeVar("_T")


class CommandGroup(Command):
    """A command that only has subcommands."""

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Parse the command line. An unknown command is reported before its options."""
        name = argv[0] if argv else "-"
        if not name.startswith("-") and name not in {*self.subcommands, "help"}:
            self.usage(f"Unknown command: {name!r}.{suggestion(name, self.subcommands)}")
        super().parse_command_line(argv)

    def start(self) -> None:
        """Run the subcommand. Without one, print the help."""
        if self.subapp is not None:
            self.subapp.start()
            return
        if self.generate_config:
            self.usage("Name a command, as in: binderprogress serve --generate-config")
        print(help_text("" if self.name == "binderprogress" else self.name))
        sys.exit(USAGE)


def allow_folder(config: Config, folder: Path) -> None:
    """Allow launches of local repositories in a folder, besides the configured folders."""
    allowed = config.GitResolver.get("local_folders", [])
    for builder in ("LocalBuilder", "Repo2dockerBuilder"):
        section = config[builder]
        section.local_folders = [*section.get("local_folders", allowed), str(folder)]


def open_in_browser(address: str) -> None:
    """Open a URL in a browser, but not in one that runs in this terminal."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return  # the command has printed the URL
    if type(browser) is not webbrowser.GenericBrowser:
        browser.open(address)


def readable_size(number: float) -> str:
    """Return a number of bytes for people, such as 1.5 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


async def run_until_stopped(stop: asyncio.Event, coroutine: Coroutine[Any, Any, _T]) -> _T | None:
    """Return the result of a coroutine. If `stop` is set first, cancel it and return None."""
    stopped, task = asyncio.create_task(stop.wait()), asyncio.create_task(coroutine)
    try:
        await asyncio.wait({stopped, task}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        stopped.cancel()
        task.cancel()
        # Only briefly, because closing a connection may wait for the other side.
        await asyncio.wait({stopped, task}, timeout=1)
