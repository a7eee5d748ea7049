"""A thread that commits what is requested, in order, and many requests at once."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine

from ...errors import StorageError
from .cipher import Cipher
from .failures import discard, is_refused, is_rerunnable, storage_error
from .requests import Append, Request
from .session import Batch, Session

__all__ = ["Writer", "resolve"]

_MAX_COUNT = 512
_MAX_BYTES = 4 * 1024 * 1024
"""Bounds of what is committed at once."""

_SHRINK = "PRAGMA incremental_vacuum(4096)"
"""Pages, of 4 KiB. More would keep others waiting."""

_RERUNS = 5
"""How often a transaction is done again that was in the way of another one."""


class _Pending(msgspec.Struct, eq=False):
    """A request, and who waits for it."""

    request: Request
    settle: Callable[[Any, StorageError | None], None]
    done: Callable[[Any], None] | None
    alone: bool
    epoch: int


class _Outcome(msgspec.Struct):
    pending: _Pending
    result: Any = None
    error: StorageError | None = None


class _Mismatch(Exception):  # noqa: N818 - it is not an error: the group is done one by one
    """Not all appends of a group can be done."""


class Writer:
    """Commits requests.

    Requests are done in the order in which they are submitted. If the database fails, all that
    were submitted before this was reported fail, too: no change is made without those before it.

    Parameters
    ----------
    engine : Engine
    replica : str
        The name of this process.
    cipher : Cipher
    where : str
        What the database is called in errors.
    interval : float
        Minimum seconds between the beginnings of two commits.
    on_leases : callable
        Called in the event loop with the names of leases that were changed.
    announce : callable, optional
        Called in the thread with each session before its commit.
    log : logging.Logger

    Attributes
    ----------
    commits : int
        Number of transactions that were committed.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        replica: str,
        cipher: Cipher,
        where: str,
        interval: float,
        on_leases: Callable[[set[str]], None],
        announce: Callable[[Session], None] | None = None,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.commits = 0
        self._engine = engine.execution_options(writes=True)
        self._replica = replica
        self._cipher = cipher
        self._where = where
        self._interval = interval
        self._on_leases = on_leases
        self._announce = announce
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Pending | None] = SimpleQueue()
        self._waiting: set[_Pending] = set()
        self._epoch = 0
        """Of requests: how many failures had been reported when they were submitted."""
        self._closed = False
        # Of the thread only:
        self._connection: Connection | None = None
        self._fences: dict[str, int] = {}
        self._doubts: dict[tuple[type[Request], str], Request] = {}
        self._held: _Pending | None = None
        self._due = 0.0
        self._failure: tuple[int, StorageError] = (-1, StorageError())
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="channel store", daemon=True)
        self._thread.start()

    # -- in the event loop

    def submit(
        self,
        request: Request,
        done: Callable[[Any], None] | None = None,
        *,
        alone: bool = False,
    ) -> asyncio.Future[Any]:
        """Request a change.

        Parameters
        ----------
        request : Request
        done : callable, optional
            Called with the result before the future has it, even if the future was cancelled.
        alone : bool
            Whether it gets a transaction of its own. If it fails, other requests do not.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        self.submit_soon(request, partial(resolve, future), done, alone=alone)
        return future

    def submit_soon(
        self,
        request: Request,
        settle: Callable[[Any, StorageError | None], None],
        done: Callable[[Any], None] | None = None,
        *,
        alone: bool = False,
    ) -> None:
        """Request a change, as `submit` does, without a future.

        Parameters
        ----------
        settle : callable
            Called once with the result and None, or with None and the error.
        """
        if self._closed:
            raise StorageError("The server is stopping. Nothing is stored any more.")
        pending = _Pending(request, settle, done, alone, self._epoch)
        self._waiting.add(pending)
        self._queue.put(pending)

    async def close(self, *, timeout: float) -> None:
        """End the thread. What is not done within `timeout` seconds fails."""
        self._closed = True
        self._queue.put(None)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), timeout)
        late = StorageError("The server was stopped before this was stored.")
        for pending in tuple(self._waiting):
            self._settle(_Outcome(pending, error=late))

    def _deliver(self, outcomes: list[_Outcome], leases: set[str], failed: bool) -> None:
        if failed:
            self._epoch += 1
        for outcome in outcomes:
            done = outcome.pending.done
            if outcome.error is None and done is not None:
                try:
                    done(outcome.result)
                except Exception:  # noqa: BLE001 - it must not keep others from their results
                    self._log.exception("A listener of a channel failed")
        if leases:
            self._on_leases(leases)
        for outcome in outcomes:
            self._settle(outcome)

    def _settle(self, outcome: _Outcome) -> None:
        pending, error = outcome.pending, outcome.error
        # It may have failed already, because it was late.
        if pending in self._waiting:
            self._waiting.discard(pending)
            # Each its own error, because a traceback is added to it where it is raised.
            own = None if error is None else type(error)(*error.args)
            try:
                pending.settle(outcome.result, own)
            except Exception:  # noqa: BLE001 - it must not keep others from their results
                self._log.exception("A channel could not go on")

    # -- in the thread

    def _run(self) -> None:
        try:
            while group := self._take():
                if not self._tell(*self._commit_all(group)):
                    break
        finally:
            self._disconnect()
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._ended.set)

    def _tell(self, outcomes: list[_Outcome], leases: set[str], failed: bool) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._deliver, outcomes, leases, failed)
        except RuntimeError:
            return False  # the loop is closed: nobody waits any more
        return True

    def _take(self) -> list[_Pending]:
        """Return what is committed next; nothing at the end."""
        # Before it waits for a request: what is requested meanwhile need not wake this thread.
        if (pause := self._due - time.monotonic()) > 0 and not self._closed:
            time.sleep(pause)
        pending = self._held or self._queue.get()
        self._held = None
        if pending is None:
            return []
        if pending.alone:
            return [pending]
        self._due = time.monotonic() + self._interval
        group, size = [], 0
        while pending is not None and not pending.alone:
            group.append(pending)
            if isinstance(pending.request, Append):
                size += pending.request.size
            if len(group) >= _MAX_COUNT or size >= _MAX_BYTES:
                return group
            try:
                pending = self._queue.get_nowait()
            except Empty:
                return group
        if pending is None:
            self._queue.put(None)
        self._held = pending
        return group

    def _commit_all(self, group: list[_Pending]) -> tuple[list[_Outcome], set[str], bool]:
        """Do a group. Return the outcomes, the changed leases, and whether the database failed."""
        epoch, failure = self._failure
        if not group[0].alone and group[0].epoch <= epoch:
            late = [pending for pending in group if pending.epoch <= epoch]
            outcomes = [_Outcome(pending, error=failure) for pending in late]
            rest = group[len(late) :]
            if not rest:
                return outcomes, set(), False
            more, leases, failed = self._commit_all(rest)
            return outcomes + more, leases, failed
        try:
            outcomes, session = self._commit(group)
            return outcomes, session.leases, False
        except Exception as error:  # noqa: BLE001 - whoever waits has to hear of it
            if is_refused(error) and len(group) > 1:
                return self._commit_each(group)
            return self._fail(group, error)

    def _commit_each(self, group: list[_Pending]) -> tuple[list[_Outcome], set[str], bool]:
        """Do requests one by one, because the database refuses one of them."""
        outcomes: list[_Outcome] = []
        leases: set[str] = set()
        for number, pending in enumerate(group):
            done, changed, failed = self._commit_all([pending])
            outcomes += done
            leases |= changed
            if failed:
                outcomes += [_Outcome(each, error=self._failure[1]) for each in group[number + 1 :]]
                return outcomes, leases, True
        return outcomes, leases, False

    def _fail(
        self, group: list[_Pending], error: Exception
    ) -> tuple[list[_Outcome], set[str], bool]:
        failure = storage_error(error, self._where)
        self._disconnect()
        self._fences.clear()
        outage = not (is_refused(error) or group[0].alone)
        if outage:
            self._failure = group[-1].epoch, failure
        else:
            self._log.error("%s", failure, exc_info=error if is_refused(error) else None)
        return [_Outcome(pending, error=failure) for pending in group], set(), outage

    def _commit(self, group: list[_Pending]) -> tuple[list[_Outcome], Session]:
        for attempt in range(_RERUNS):
            try:
                return self._transaction(group, together=True)
            except _Mismatch:
                self._fences.clear()
                return self._transaction(group, together=False)
            except Exception as error:
                if not is_rerunnable(error) or attempt == _RERUNS - 1:
                    raise
                self._fences.clear()
        raise AssertionError("unreachable")

    def _transaction(
        self, group: list[_Pending], *, together: bool
    ) -> tuple[list[_Outcome], Session]:
        if self._connection is None:
            self._connection = self._engine.connect()
        transaction = self._connection.begin()
        try:
            session = Session(
                self._connection,
                replica=self._replica,
                cipher=self._cipher,
                fences=self._fences,
                doubts=self._doubts,
            )
            outcomes = _run_all(session, group, together=together)
            if self._announce is not None:
                self._announce(session)
        except BaseException:
            transaction.rollback()
            raise
        try:
            transaction.commit()
        except Exception:
            # It may be done, and only the answer lost. Then, it must not be done once more.
            for pending in group:
                self._doubts[type(pending.request), pending.request.subject] = pending.request
            raise
        self.commits += 1
        for settled in session.settled:
            self._doubts.pop(settled, None)
        if session.freed and not session.is_postgresql:
            self._shrink(self._connection)
        return outcomes, session

    def _shrink(self, connection: Connection) -> None:
        """Give free pages of a SQLite file back to the system."""
        try:
            # `execute` would free one page only.
            connection.connection.driver_connection.executescript(_SHRINK)  # type: ignore[union-attr] # it is connected
        except sqlite3.OperationalError as error:
            self._log.warning("%s does not get smaller: %s", self._where, error)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            discard(connection)


def resolve(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    """Set the result of a future, or its error."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
        # It may be that nobody awaits it any more.
        future.exception()


def _run_all(session: Session, group: list[_Pending], *, together: bool) -> list[_Outcome]:
    outcomes: list[_Outcome] = []
    batches: dict[str, Batch] = {}

    def flush() -> None:
        rows = list(batches.values())
        batches.clear()
        if rows and not session.append(rows):
            raise _Mismatch

    session.lock(name for pending in group for name in pending.request.locks)
    for pending in group:
        request = pending.request
        if together and isinstance(request, Append) and request.join(batches):
            outcomes.append(_Outcome(pending))
            continue
        flush()
        try:
            outcomes.append(_Outcome(pending, request.run(session)))
        except StorageError as error:
            outcomes.append(_Outcome(pending, error=error))
    flush()
    return outcomes
