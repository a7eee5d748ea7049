"""Copies logs of builds to the store, and from there to the replica that is asked for one.

So a log can be read at each replica, also if the one that ran the build is gone. Replicas whose
logs are in a folder that all of them have do not need it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..channels.durable import DurableStore
from ..channels.shared_logs import KeptLog, SharedLogs
from ..errors import StorageError
from .build_log import read_log
from .locks import Locks
from .log_times import times_path

__all__ = ["COPY", "LogCopies", "log_copies"]

COPY = ".copy"
"""The end of the names of files that are not complete yet."""

_PART = 2**20
"""Bytes of a part of a log, before it is compressed."""

_MOST_TIMES = 4 * 2**20
"""Bytes of the times of a log. A log that has more is kept without."""

_PAUSES = (1.0, 30.0)
"""Seconds until a copy is tried again while the database is away: at first, and at most."""

_FINISH = 3.0
"""Seconds in which a server that is stopped completes the copies that it has begun."""


def log_copies(
    store: DurableStore | None, *, patience: float, log: logging.Logger | logging.LoggerAdapter[Any]
) -> LogCopies | None:
    """Return what copies logs; None if the store keeps none. The parameters are of `LogCopies`."""
    if store is None or store.logs is None:
        return None
    return LogCopies(store.logs, patience=patience, log=log)


class LogCopies:
    """Copies logs between the folder of this replica and the store.

    Parameters
    ----------
    logs : SharedLogs
    patience : float
        Seconds for which a log waits for a database that is away.
    log : logging.Logger
    """

    def __init__(
        self,
        logs: SharedLogs,
        *,
        patience: float,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._logs = logs
        self._patience = patience
        self._log = log
        self._sending: set[asyncio.Task[None]] = set()
        self._fetching = Locks()

    def send(self, path: Path, key: str) -> None:
        """Copy a log that is complete to the store, in the background.

        Parameters
        ----------
        path : Path
            Its name is the id of the build.
        key : str
            Of the environment that the build has made. Empty: it has made none.
        """
        task = asyncio.create_task(self._send(path, key), name=f"copying a log ({_short(path)})")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def fetch(self, path: Path) -> bool:
        """Copy a log from the store to its file, unless all of it is in the file.

        A build may have begun at this replica, and have ended at another one.

        Returns
        -------
        bool
            Whether it was copied.

        Raises
        ------
        StorageError
            If the store cannot be read.
        OSError
            If the file cannot be written.
        """
        async with self._fetching.of(str(path)):
            size = await asyncio.to_thread(_size_of, path)
            try:
                kept = await self._logs.find(path.stem)
            except StorageError:
                if size < 0:
                    raise
                # What is here is all of it, unless the build has moved.
                return False
            if kept is None or size >= kept.size:
                return False
            copy = await asyncio.to_thread(_new_copy, path)
            try:
                for number in range(kept.parts):
                    part = await self._logs.part(kept.build, number)
                    if part is None:
                        # It was deleted just now.
                        return False
                    await asyncio.to_thread(_append, copy, part)
                await asyncio.to_thread(_put, copy, path, kept)
            finally:
                await asyncio.to_thread(copy.unlink, missing_ok=True)
            return True

    async def newest(self, key: str) -> KeptLog | None:
        """Return the log of the newest build of an environment, if the store has it."""
        try:
            return await self._logs.newest(key)
        except StorageError as error:
            # It is no more than an offer.
            self._log.info("No log of an earlier build can be looked up: %s", error)
            return None

    async def tidy(self, *, until: float, budget: int) -> None:
        """Delete old logs from the store; see `SharedLogs.tidy`."""
        await self._logs.tidy(until=until, budget=budget)

    async def close(self) -> None:
        """Complete the copies that were begun, within some seconds."""
        if not self._sending:
            return
        _, late = await asyncio.wait(self._sending, timeout=_FINISH)
        for task in late:
            self._log.warning("The server stops while %s to the database.", task.get_name())
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _send(self, path: Path, key: str) -> None:
        time = asyncio.get_running_loop().time
        until, pause = time() + self._patience, _PAUSES[0]
        while True:
            try:
                kept = await asyncio.to_thread(_read, path)
                return await self._logs.put(kept, _parts_of(path), key=key)
            except (OSError, StorageError) as error:
                if isinstance(error, OSError) or time() + pause > until:
                    # The message of an error of the system has the whole path.
                    why = error.strerror if isinstance(error, OSError) else error
                    self._log.warning(
                        "Other replicas do not have the log of the build %s: %s", _short(path), why
                    )
                    return None
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSES[1])


def _short(path: Path) -> str:
    """Return the first characters of a build's id, which is the key to its log."""
    return f"{path.stem[:6]}…"


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _read(path: Path) -> KeptLog:
    """Return what is to be known of a log, with its times."""
    status = path.stat()
    times = times_path(path)
    has_times = times.is_file() and times.stat().st_size <= _MOST_TIMES
    return KeptLog(
        build=path.stem,
        ended=status.st_mtime,
        size=status.st_size,
        parts=0,
        times=times.read_bytes() if has_times else b"",
    )


def _parts_of(path: Path) -> Iterator[bytes]:
    part = bytearray()
    for piece in read_log(path):
        part += piece
        if len(part) >= _PART:
            yield bytes(part)
            part.clear()
    yield bytes(part)


def _new_copy(path: Path) -> Path:
    handle, name = tempfile.mkstemp(suffix=COPY, dir=path.parent)
    os.close(handle)
    return Path(name)


def _append(copy: Path, part: bytes) -> None:
    with copy.open("ab") as file:
        file.write(part)


def _put(copy: Path, path: Path, kept: KeptLog) -> None:
    """Give a complete copy its name, and the age of the log."""
    os.utime(copy, (kept.ended, kept.ended))
    if kept.times:
        times_path(path).write_bytes(kept.times)
    copy.replace(path)
