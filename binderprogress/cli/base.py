"""What commands on a person's own machine have in common."""

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
    stop_event,
)

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
    "stop_event",
    "unless",
]

_T = TypeVar("_T")


class CommandGroup(Command):
    """A command that only has others below it."""

    def start(self) -> None:
        """Start the command that was named; without one, say which there are."""
        if self.subapp is not None:
            self.subapp.start()
            return
        if self.generate_config:
            self.usage("It is a command that has a config: binderprogress serve --generate-config")
        if self.extra_args:
            self.usage(f"There is no command {self.extra_args[0]!r}.")
        self.print_help()
        sys.exit(USAGE)


def allow_folder(config: Config, folder: Path) -> None:
    """Let local repositories below a folder be launched, beside those that are configured."""
    allowed = config.GitResolver.get("local_folders", [])
    for builder in ("LocalBuilder", "Repo2dockerBuilder"):
        section = config[builder]
        section.local_folders = [*section.get("local_folders", allowed), str(folder)]


def open_in_browser(address: str) -> None:
    """Open an address, unless the only browser is one that would take over this terminal."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return  # the address stands above
    if type(browser) is not webbrowser.GenericBrowser:
        browser.open(address)


async def unless(stop: asyncio.Event, what: Coroutine[Any, Any, _T]) -> _T | None:
    """Await `what` and return its result; None if the stop comes first, which ends it."""
    stopped, task = asyncio.create_task(stop.wait()), asyncio.create_task(what)
    try:
        await asyncio.wait({stopped, task}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        stopped.cancel()
        task.cancel()
        # Not for long: a connection that is closed politely waits for the other side.
        await asyncio.wait({stopped, task}, timeout=1)
