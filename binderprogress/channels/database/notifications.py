"""What replicas tell each other through PostgreSQL, and that they are alive."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import psycopg

from ...database.connection import reason_of
from ..durable import Others
from .notices import TOPIC, decode

__all__ = ["Hearer", "Notifications"]

_PAUSES = (0.2, 0.5, 1.0, 2.0)
"""Seconds before connecting again."""

_NOW = "CAST(extract(epoch FROM clock_timestamp()) AS float8)"
_RENEW = f"UPDATE replicas SET until = {_NOW} + %s WHERE name = %s AND until > {_NOW}"  # noqa: S608 - constants
_REJOIN = (
    f"INSERT INTO replicas (until, name) VALUES ({_NOW} + %s, %s) "  # noqa: S608 - constants
    "ON CONFLICT (name) DO UPDATE SET until = excluded.until"
)

_OTHERS = f"""
SELECT
    (SELECT count(*) FROM replicas WHERE name <> %(replica)s AND until > {_NOW}),
    count(*) FILTER (WHERE starts_with(name, 'launch.')),
    count(*) FILTER (WHERE starts_with(name, 'build.'))
FROM leases WHERE ended IS NULL AND owner <> %(replica)s
"""  # noqa: S608 - constants


class Hearer(Protocol):
    """Who is told. All methods but `wants` are called in the event loop."""

    def wants(self, channels: Iterable[str], leases: Iterable[str]) -> tuple[list[str], list[str]]:
        """Return those that somebody watches. Called in another thread."""
        ...

    def changed(self, channels: list[str], leases: list[str]) -> None:
        """Note that another replica has changed something."""
        ...

    def reconnected(self) -> None:
        """Compare everything with the database: notifications may be lost."""
        ...

    def lapsed(self) -> None:
        """Compare everything with the database: others may have taken what this replica had."""
        ...


class Notifications:
    """A thread with a connection of its own, which listens, and says that this replica is alive.

    Parameters
    ----------
    connect : callable
        Opens a connection; see `database.postgresql.connector`.
    hearer : Hearer
    loop : asyncio.AbstractEventLoop
    replica : str
    lasts : float
        Seconds after which this replica counts as gone unless it says that it is alive.
    stopping : threading.Event
        Ends the thread. The connection has it, too.
    log : logging.Logger
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        hearer: Hearer,
        loop: asyncio.AbstractEventLoop,
        *,
        replica: str,
        lasts: float,
        stopping: threading.Event,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.alive_until = time.monotonic() + lasts
        """Until when other replicas believe that this one is alive, at least."""
        self._connect = connect
        self._hearer = hearer
        self._loop = loop
        self._replica = replica
        self._lasts = lasts
        self._stopping = stopping
        self._log = log
        self._failures = 0
        self._has_counted = False
        self.others = Others()
        """The other replicas, as last counted."""
        self.begun = asyncio.Event()
        """Whether it can hear other replicas, or the first attempt has failed."""
        self._may_have_missed = False
        """Whether others may have changed something since `begun`, and it did not hear that."""
        self.ended = asyncio.Event()
        """Whether the thread has ended."""
        self._thread = threading.Thread(target=self._run, name="channel notices", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    with self._connect() as connection:
                        self._serve(connection)
                except psycopg.Error as error:
                    self._failed(error)
                except Exception:  # noqa: BLE001 - this replica must go on saying that it is alive
                    self._log.exception("Notifications of other replicas cannot be read")
                    self._stopping.wait(_PAUSES[-1])
        finally:
            self._tell(self.begun.set)
            self._tell(self.ended.set)

    def _failed(self, error: Exception) -> None:
        if self._stopping.is_set():
            return
        self._may_have_missed = True
        self._tell(self.begun.set)
        if not self._failures:
            self._log.warning(
                "Other replicas cannot be heard (%s). Trying again.", reason_of(error)
            )
        self._stopping.wait(_PAUSES[min(self._failures, len(_PAUSES) - 1)])
        self._failures += 1

    def _serve(self, connection: Any) -> None:
        connection.autocommit = True
        connection.execute(f"LISTEN {TOPIC}")
        self._renew(connection)
        self._count(connection)
        self._tell(self._hearer.reconnected if self._may_have_missed else self.begun.set)
        self._may_have_missed = True
        if self._failures:
            self._log.info("Other replicas can be heard again.")
        self._failures = 0
        timeout, due = connection.timeout, time.monotonic() + self._lasts / 3
        while not self._stopping.is_set():
            # There may be nothing to hear for hours.
            connection.timeout = None
            for notify in connection.notifies(timeout=max(due - time.monotonic(), 0.0)):
                self._hear(notify.payload)
            connection.timeout = timeout
            if time.monotonic() >= due:
                due = time.monotonic() + self._lasts / 3
                self._renew(connection)
                self._count(connection)

    def _hear(self, payload: str) -> None:
        try:
            notice = decode(payload)
        except ValueError as error:
            # Whoever may connect to the database can send anything.
            self._log.warning("A notification is not one of ours: %s", error)
            return
        if notice.sender == self._replica:
            return
        channels, leases = self._hearer.wants(notice.channels, notice.leases)
        if channels or leases:
            self._tell(self._hearer.changed, channels, leases)

    def _renew(self, connection: Any) -> None:
        """Say that this replica is alive."""
        began = time.monotonic()
        values = (self._lasts, self._replica)
        if not connection.execute(_RENEW, values).rowcount:
            # Too late: others have believed that it is gone.
            connection.execute(_REJOIN, values)
            self._log.warning(
                "This replica was silent for too long. Others may have taken its launches."
            )
            self._tell(self._hearer.lapsed)
        self.alive_until = began + self._lasts

    def _count(self, connection: Any) -> None:
        """Count other replicas, and what they run."""
        values = {"replica": self._replica}
        replicas, launches, builds = connection.execute(_OTHERS, values).fetchone()
        before, self.others = (
            self.others,
            Others(replicas=replicas, launches=launches, builds=builds),
        )
        if not self._has_counted or before.replicas != replicas:
            self._has_counted = True
            self._log.info(
                "This server is the replica %s. Replicas that use the database: %d.",
                self._replica,
                1 + replicas,
            )

    def _tell(self, method: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(method, *arguments)
        except RuntimeError:  # the loop is closed
            self._stopping.set()
