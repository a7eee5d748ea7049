"""``binderprogress history``."""

from __future__ import annotations

import signal
import sys
import time

from ..errors import ConfigError
from ..history.config import History
from ..history.store import NoHistory
from .base import Command, CommandGroup

__all__ = ["HistoryApp", "RebuildApp"]


class RebuildApp(Command):
    """Make all sums of a history anew from the launches that it keeps.

    What pages show is read from sums. This is for when launches were removed or changed by hand, or
    to have those of an earlier version as exact as today's. Servers may go on: they show the sums
    from before until it is done, and write what ends meanwhile after that. Exit codes: 0 all is
    done, 1 it cannot be done and all is as before, 2 wrong usage, 130 interrupted, likewise.
    """

    name = "history rebuild"
    description = __doc__ or ""
    examples = """
    binderprogress history rebuild
    binderprogress history rebuild -f /etc/binderprogress_config.py
    binderprogress history rebuild --url sqlite:////srv/binderprogress/history.sqlite
    """
    classes = [History]  # noqa: RUF012 - traitlets' way
    aliases = {**Command.aliases, "url": "History.url"}  # noqa: RUF012

    async def main(self) -> int:
        """Do it, and tell how far it is."""
        # There is nothing else to do here, and no thread that could not be interrupted.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        # What is too old is for the server to remove.
        history = History(parent=self, keep_days=0).open()
        try:
            if isinstance(history, NoHistory):
                raise ConfigError("There is no history. Name its database with --url.")
            print(f"Making the sums of {history} anew.", flush=True)
            began = time.monotonic()
            launches = history.rebuild(_tell)
            print(f"Done: {launches:,} launches, in {time.monotonic() - began:.0f} s.")
        finally:
            history.close()
        return 0


def _tell(launches: int) -> None:
    print(f"{launches:,} launches are read.", file=sys.stderr, flush=True)


class HistoryApp(CommandGroup):
    """Look after the history: what launches took that are over."""

    name = "history"
    description = __doc__ or ""
    examples = "binderprogress history rebuild --help"
    subcommands = {  # noqa: RUF012 - traitlets' way
        "rebuild": ("binderprogress.cli.history.RebuildApp", "Make all sums of it anew."),
    }
