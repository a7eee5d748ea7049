"""A thread that writes launches, so that `add` does not wait for the database."""

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
from ..database.connection import reason_of

__all__ = ["BATCH", "BatchWriter"]

BATCH = 500
"""Maximum number of launches in one transaction."""
_PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class BatchWriter:
    """Writes launches in batches.

    Parameters
    ----------
    write : callable
        Writes a list of launches, all or none.
    tidy : callable
        Removes old launches. It gets an event that is set when the writer closes.
    size : int
        Maximum number of launches that wait.
    every : float
        Seconds between calls of `tidy`. The first one is at the beginning.
    log : logging.Logger

    Attributes
    ----------
    lost : int
        Number of launches that were not written.
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
        """Queue a launch. It is lost if too many launches are waiting."""
        if self._closing.is_set():
            self._lose(1, "the history is closed")
            return
        try:
            self._queue.put_nowait(past)
        except Full:
            self._lose(1, "too many launches are waiting")

    def flush(self) -> None:
        """Wait until all queued launches are written or lost."""
        self._queue.join()

    def close(self, *, timeout: float) -> None:
        """Write the queued launches and end the thread. After `timeout` seconds, they are lost."""
        if self._closing.is_set():
            return
        self._closing.set()
        # If the queue is full, the thread is not waiting for an item.
        with suppress(Full):
            self._queue.put_nowait(None)
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._lose(self._queue.unfinished_tasks, "the database is too slow while stopping")

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
        """Return a batch of queued items; empty if none comes within `patience` seconds."""
        batch: list[PastLaunch | None] = []
        with suppress(Empty):
            batch.append(self._queue.get(timeout=patience))
            while len(batch) < BATCH:
                batch.append(self._queue.get_nowait())
        return batch

    def _persist(self, launches: list[PastLaunch]) -> None:
        """Write launches. Retry while the database is unavailable."""
        failures = 0
        while True:
            try:
                self._write(launches)
                if failures:
                    self._log.info("The history can be written again.")
                return
            except (OperationalError, InterfaceError) as error:
                if self._closing.is_set():
                    self._lose(len(launches), reason_of(error))
                    return
                pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
                failures += 1
                self._log.warning(
                    "The history cannot be written (%s). Retrying in %g s.",
                    reason_of(error),
                    pause,
                )
                self._closing.wait(pause)
            except Exception as error:  # noqa: BLE001 - the thread must go on
                self._persist_each(launches, error)
                return

    def _persist_each(self, launches: list[PastLaunch], error: Exception) -> None:
        """Write launches one by one, to lose only those that cannot be written."""
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
        self._log.error("%d launches are missing in the history: %s", count, why)
