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
from ..channels.durable import DurableStore, Lease
from ..core.periods import period_text
from ..errors import NotFoundError
from .build_log import NOTE, BuildLog, note_of, read_log
from .log_copies import COPY, LogCopies
from .log_lines import LogLines, SharedIndex, TextFile
from .log_times import TIMES
from .stored import build_lease

__all__ = ["EarlierBuild", "LogFiles"]

_SUFFIX = ".log"

_MOST_INDEXES = 64
"""Logs whose lines are found without reading all of them again: at most 100 KiB each."""

_COPYING = 3600.0
"""Seconds after which a copy of a log is not completed any more."""

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
    store : DurableStore or None
        Where launches are stored. If it is shared, there are other replicas.
    copies : LogCopies or None
        Copies logs from and to other replicas. None: they cannot be copied.
    """

    folder: Path
    limit: int
    budget: int
    keep: float
    meter: Meter
    store: DurableStore | None = None
    copies: LogCopies | None = None
    _indexes: OrderedDict[str, SharedIndex] = msgspec.field(default_factory=OrderedDict)
    _made: WeakValueDictionary[str, BuildLog] = msgspec.field(default_factory=WeakValueDictionary)

    def make(self, build_id: str, *, log: logging.Logger | logging.LoggerAdapter[Any]) -> BuildLog:
        """Return the log of a build."""
        path, copies = self._path(build_id), self.copies
        finished = partial(copies.send, path) if copies is not None else None
        made = BuildLog(path, limit=self.limit, meter=self.meter, log=log, finished=finished)
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
        StorageError
            If it has to be copied from the store, which cannot be read.
        """
        made = await self._find(build_id)
        return read_log(self._path(build_id)) if made is None else made.read_all()

    async def lines(self, build_id: str) -> Callable[[], LogLines]:
        """Return what reads lines of the log of a build so far. Call that in a thread.

        Raises
        ------
        NotFoundError, StorageError
            As `read` does.
        """
        made = await self._find(build_id)
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
        return partial(LogLines, text, self.index(build_id), after=problem, is_over=is_over)

    async def _find(self, build_id: str) -> BuildLog | None:
        """Return the log of a build that this replica runs. None: it is in the file."""
        if not _ID.fullmatch(build_id):
            raise self._missing()
        made = self._made.get(build_id)
        is_here = made is not None and not made.is_released
        # That of a build of another replica, which is only shown here, is empty.
        if made is not None and is_here and (made.size or not await self._is_elsewhere(build_id)):
            return made
        path = self._path(build_id)
        if self.copies is not None and await self.copies.fetch(path):
            self._indexes.pop(build_id, None)
        if await asyncio.to_thread(path.is_file):
            return None
        raise await self._explain(build_id)

    async def _lease(self, build_id: str) -> Lease | None:
        """Return the lease of a build, if there are other replicas."""
        is_shared = self.store is not None and self.store.is_shared
        return await self.store.find(build_lease(build_id)) if self.store and is_shared else None

    async def _is_elsewhere(self, build_id: str) -> bool:
        """Whether another replica runs a build that is shown here, or has run it."""
        lease = await self._lease(build_id)
        return lease is not None and self.store is not None and lease.owner != self.store.replica

    async def newest(self, key: str) -> EarlierBuild | None:
        """Return the newest build of an environment whose log is kept."""
        here = await asyncio.to_thread(self._newest_here, key)
        kept = await self.copies.newest(key) if self.copies is not None else None
        if kept is None or (here is not None and here.ended >= kept.ended):
            return here
        return EarlierBuild(kept.build, kept.ended)

    def _newest_here(self, key: str) -> EarlierBuild | None:
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
        for copy in self.folder.glob(f"*{COPY}"):
            # Of a server that was killed.
            if copy.stat().st_mtime < time.time() - _COPYING:
                copy.unlink(missing_ok=True)
        for note in self.folder.glob(f"*{NOTE}"):
            if not self._path(note.read_text()).exists():
                note.unlink(missing_ok=True)

    async def tidy(self) -> None:
        """Remove old logs from the store, as `sweep` does from the folder.

        Raises
        ------
        StorageError
            If the store cannot be reached.
        """
        if self.copies is not None:
            await self.copies.tidy(until=time.time() - self.keep, budget=self.budget)

    async def close(self) -> None:
        """Complete what is being copied to the store."""
        if self.copies is not None:
            await self.copies.close()

    async def _explain(self, build_id: str) -> NotFoundError:
        """Return why a log is not here."""
        lease = await self._lease(build_id)
        if lease is None:
            return self._missing()
        if lease.ended:
            return self._missing(
                " Another replica of this server may have it, or may still be copying it: "
                "try again in a minute."
            )
        return NotFoundError(
            "Another replica of this server runs this build. Its log is here when it has ended. "
            "Until then, the page of its launch shows it."
        )

    def _missing(self, hint: str = "") -> NotFoundError:
        return NotFoundError(
            "There is no log at this address. Logs of builds are kept for "
            f"{period_text(self.keep)}.{hint}"
        )

    def _path(self, build_id: str) -> Path:
        return self.folder / f"{build_id}{_SUFFIX}"
