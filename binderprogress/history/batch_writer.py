"""The thread that writes: whoever adds a launch does not wait for a disk."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import Any

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from ..core.timing.spans import PastLaunch
from .connection import reason_of

__all__ = ["BATCH", "BatchWriter"]

BATCH = 500
"""As many are written at once, if as many wait."""
_PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class BatchWriter:
    """Writes what is added, many at once where many wait.

    Parameters
    ----------
    write : callable
        Writes launches, all or none.
    tidy : callable
        Called at the beginning and then every `every` seconds.
    size : int
        How many launches may wait.
    """

    def __init__(
        self,
        write: Callable[[list[PastLaunch]], None],
        tidy: Callable[[threading.Event], None],
        *,
        size: int,
        every: float,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.lost = 0
        self._write = write
        self._tidy = tidy
        self._every = every
        self._log = log
        self._queue: Queue[PastLaunch | None] = Queue(size)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    def add(self, past: PastLaunch) -> None:
        """Have a launch written, unless too many wait already."""
        if self._closing.is_set():
            self._lose(1, "the history is closed")
            return
        try:
            self._queue.put_nowait(past)
        except Full:
            self._lose(1, "too many wait to be written")

    def flush(self) -> None:
        """Wait until all that was added is written, or lost."""
        self._queue.join()

    def close(self, *, timeout: float) -> None:
        """Write what waits, and end; after `timeout` seconds without the rest."""
        if self._closing.is_set():
            return
        self._closing.set()
        # When it is full, the thread does not wait for anything.
        with suppress(Full):
            self._queue.put_nowait(None)
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._lose(self._queue.unfinished_tasks, "the server stops, and the database is slow")

    def _run(self) -> None:
        due = 0.0
        while not (self._closing.is_set() and self._queue.empty()):
            if time.monotonic() >= due and not self._closing.is_set():
                self._do_tidy()
                due = time.monotonic() + self._every
            batch = self._take(max(due - time.monotonic(), 0.0))
            launches = [past for past in batch if past is not None]
            try:
                if launches:
                    self._persist(launches)
            finally:
                for _ in batch:
                    self._queue.task_done()

    def _take(self, patience: float) -> list[PastLaunch | None]:
        """Return what waits, at most a batch; nothing, when nothing comes in time."""
        found: list[PastLaunch | None] = []
        with suppress(Empty):
            found.append(self._queue.get(timeout=patience))
            while len(found) < BATCH:
                found.append(self._queue.get_nowait())
        return found

    def _persist(self, launches: list[PastLaunch]) -> None:
        """Write, as often as it takes while the database is away."""
        failures = 0
        while True:
            try:
                self._write(launches)
                if failures:
                    self._log.info("The history is written again.")
                return
            except (OperationalError, InterfaceError) as error:
                if self._closing.is_set():
                    self._lose(len(launches), reason_of(error))
                    return
                pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
                failures += 1
                self._log.warning(
                    "The history cannot be written (%s). Trying again in %g s.",
                    reason_of(error),
                    pause,
                )
                self._closing.wait(pause)
            except Exception as error:  # noqa: BLE001 - whatever is in it, the thread goes on
                self._persist_each(launches, error)
                return

    def _persist_each(self, launches: list[PastLaunch], error: Exception) -> None:
        """Find out which of them cannot be written."""
        if len(launches) == 1:
            self._lose(1, reason_of(error))
            return
        for past in launches:
            self._persist([past])

    def _do_tidy(self) -> None:
        try:
            self._tidy(self._closing)
        except SQLAlchemyError as error:
            self._log.warning("Old launches could not be removed: %s", reason_of(error))

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        self._log.error("%d launches are not kept in the history: %s", count, why)
