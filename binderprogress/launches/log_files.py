"""The folder with the full logs of builds."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from ..channels.base import Meter
from .build_log import BuildLog

__all__ = ["LogFiles"]

_SUFFIX = ".log"


class LogFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Where the full logs of builds are kept, and for how long.

    Attributes
    ----------
    folder : Path
    limit : int
        Maximum size of a log in bytes.
    budget : int
        Maximum size of all logs in bytes.
    keep : float
        Seconds for which a log is kept after the end of its build.
    meter : Meter
        Counts the bytes of the logs of launches that are in memory.
    """

    folder: Path
    limit: int
    budget: int
    keep: float
    meter: Meter

    def make(self, build_id: str, *, log: logging.Logger | logging.LoggerAdapter[Any]) -> BuildLog:
        """Return the log of a build."""
        path = self.folder / f"{build_id}{_SUFFIX}"
        return BuildLog(path, limit=self.limit, meter=self.meter, log=log)

    def sweep(self, in_use: Collection[str]) -> None:
        """Remove logs that are too old, and the oldest ones if they take too much space.

        Call this in a thread.

        Parameters
        ----------
        in_use : collection of str
            The ids of builds whose logs stay.

        Raises
        ------
        OSError
            If the folder cannot be read, or a log cannot be removed.
        """
        files = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        oldest = time.time() - self.keep
        for changed, size, path in sorted(files):
            if changed >= oldest and total <= self.budget:
                break
            if path.stem not in in_use:
                path.unlink(missing_ok=True)
                total -= size
