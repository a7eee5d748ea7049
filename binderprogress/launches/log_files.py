"""The folder with the full logs of builds."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from ..channels.base import Meter
from ..errors import NotFoundError
from .build_log import BuildLog, read_log

__all__ = ["LogFiles"]

_SUFFIX = ".log"

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""The id of a build. It is part of a path, and comes from a URL."""


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
    is_shared : bool
        Whether there are other replicas, which may keep their logs elsewhere.
    """

    folder: Path
    limit: int
    budget: int
    keep: float
    meter: Meter
    is_shared: bool = False
    _made: WeakValueDictionary[str, BuildLog] = msgspec.field(default_factory=WeakValueDictionary)

    def make(self, build_id: str, *, log: logging.Logger | logging.LoggerAdapter[Any]) -> BuildLog:
        """Return the log of a build."""
        made = BuildLog(self._path(build_id), limit=self.limit, meter=self.meter, log=log)
        self._made[build_id] = made
        return made

    async def read(self, build_id: str) -> Iterator[bytes]:
        """Return the log of a build so far, in chunks of UTF-8.

        The chunks can be read later, and in another thread. Reading them raises
        `FileNotFoundError` if the log is removed meanwhile.

        Raises
        ------
        NotFoundError
            If there is none of this id, or no longer.
        """
        if _ID.fullmatch(build_id):
            made = self._made.get(build_id)
            if made is not None and not made.is_released:
                return made.read_all()
            path = self._path(build_id)
            if await asyncio.to_thread(path.is_file):
                return read_log(path)
        hint = " Another replica of this server may have it." if self.is_shared else ""
        raise NotFoundError(
            f"There is no log at this address. Logs of builds are kept for {_period(self.keep)}."
            f"{hint}"
        )

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

    def _path(self, build_id: str) -> Path:
        return self.folder / f"{build_id}{_SUFFIX}"


def _period(seconds: float) -> str:
    for size, unit in ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}{'' if seconds == size else 's'}"
    return f"{seconds:g} seconds"
