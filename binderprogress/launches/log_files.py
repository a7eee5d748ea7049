"""The folder with the full logs of builds."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from ..channels.base import Meter
from ..core.periods import period_text
from ..errors import NotFoundError
from .build_log import NOTE, BuildLog, note_of, read_log
from .log_lines import LogLines, SharedIndex, TextFile
from .log_times import TIMES

__all__ = ["EarlierBuild", "LogFiles"]

_SUFFIX = ".log"

_MOST_INDEXES = 64
"""Logs whose lines are found without reading all of them again: at most 100 KiB each."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""The id of a build. It is part of a path, and comes from a URL."""


class EarlierBuild(msgspec.Struct, frozen=True):
    """A build that made an environment.

    Attributes
    ----------
    id : str
    ended : float
        In seconds since 1970.
    """

    id: str
    ended: float


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
    _indexes: OrderedDict[str, SharedIndex] = msgspec.field(default_factory=OrderedDict)
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
        raise self._missing()

    async def lines(self, build_id: str) -> Callable[[], LogLines]:
        """Return what reads lines of the log of a build so far. Call that in a thread.

        Raises
        ------
        NotFoundError
            If there is no log of this id, or no longer.
        """
        if _ID.fullmatch(build_id):
            made = self._made.get(build_id)
            if made is not None and made.is_released:
                made = None
            try:
                if made is None:
                    path = self._path(build_id)
                    size = (await asyncio.to_thread(path.stat)).st_size
                    text, problem = TextFile(path, size), b""
                else:
                    text, problem = made.all_text()
            except FileNotFoundError:
                raise self._missing() from None
            is_over = made is None or made.is_cut
            index = self.index(build_id)
            return partial(LogLines, text, index, after=problem, is_over=is_over)
        raise self._missing()

    def newest(self, key: str) -> EarlierBuild | None:
        """Return the newest build of an environment whose log is kept. Call this in a thread."""
        try:
            build_id = note_of(self.folder, key).read_text()
            ended = self._path(build_id).stat().st_mtime
        except OSError:
            # None was built here, or its log is no longer kept.
            return None
        return EarlierBuild(build_id, ended)

    def index(self, build_id: str) -> SharedIndex:
        """Return the index of the lines of a log. A few of them are kept."""
        index = self._indexes.setdefault(build_id, SharedIndex())
        self._indexes.move_to_end(build_id)
        while len(self._indexes) > _MOST_INDEXES:
            self._indexes.popitem(last=False)
        return index

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
        for times in self.folder.glob(f"*{TIMES}"):
            if not times.with_suffix(_SUFFIX).exists():
                times.unlink(missing_ok=True)
        for note in self.folder.glob(f"*{NOTE}"):
            if not self._path(note.read_text()).exists():
                note.unlink(missing_ok=True)

    def _missing(self) -> NotFoundError:
        hint = " Another replica of this server may have it." if self.is_shared else ""
        return NotFoundError(
            "There is no log at this address. Logs of builds are kept for "
            f"{period_text(self.keep)}.{hint}"
        )

    def _path(self, build_id: str) -> Path:
        return self.folder / f"{build_id}{_SUFFIX}"
