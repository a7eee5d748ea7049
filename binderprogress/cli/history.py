"""``binderprogress history``."""

from __future__ import annotations

import asyncio
import signal
import sys
import time

from ..errors import ConfigError
from ..history.config import History
from ..history.store import NoHistory
from .base import Command, CommandGroup

__all__ = ["HistoryApp", "RebuildApp"]


class RebuildApp(Command):
    """Recompute the totals of a history from its launches.

    The statistics pages read precomputed totals. Recompute them after you removed or changed
    launches by hand, or after an upgrade. Servers may keep running: until this command is done,
    they show the old totals and delay writing new launches. Exit codes: 0 if it succeeded, 1 if it
    failed, 2 for wrong usage, 130 if interrupted. Unless it succeeds, nothing is changed.
    """

    name = "history rebuild"
    classes = [History]  # noqa: RUF012 - traitlets' way
    aliases = {**Command.aliases, "url": "History.url"}  # noqa: RUF012

    async def main(self) -> int:
        """Recompute the totals, and print the progress."""
        # Let Ctrl-C interrupt the database at once, instead of cancelling this task.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # Removing old launches is up to the server.
        settings = History(parent=self, keep_days=0)
        file = settings.file()
        if file is not None and not await asyncio.to_thread(file.exists):
            raise ConfigError(f"There is no history at {file}. Name its database with --url.")
        history = settings.open()
        try:
            if isinstance(history, NoHistory):
                raise ConfigError("No history is configured. Name its database with --url.")
            print(f"Recomputing the totals of {history}.", flush=True)
            started = time.monotonic()
            launches = history.rebuild(_print_progress)
            print(f"Done: {launches:,} launches in {time.monotonic() - started:.0f} s.")
        finally:
            history.close()
        return 0


def _print_progress(launches: int) -> None:
    print(f"Read {launches:,} launches.", file=sys.stderr, flush=True)


class HistoryApp(CommandGroup):
    """Maintain the history, a database of finished launches."""

    name = "history"
    subcommands = {  # noqa: RUF012 - traitlets' way
        "rebuild": ("binderprogress.cli.history.RebuildApp", "Recompute all totals."),
    }
