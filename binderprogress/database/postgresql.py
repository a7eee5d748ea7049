"""Connections to a PostgreSQL that may hang: every wait has a limit."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import psycopg
from psycopg import OperationalError

__all__ = ["BoundedConnection", "connector"]


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed if the server does not answer in time.

    PostgreSQL's own timeouts do not help if the server is stopped, nor do those of TCP, because the
    kernel of the server's machine acknowledges what it gets.

    Attributes
    ----------
    timeout : float or None
        Seconds to wait for an answer. None: as long as it takes.
    stopping : threading.Event or None
        Ends every wait when it is set.
    """

    timeout: float | None = None
    stopping: threading.Event | None = None

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        """Wait for an answer.

        Raises
        ------
        psycopg.OperationalError
            If there is none in time.
        """
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        until = math.inf if self.timeout is None else time.monotonic() + self.timeout
        try:
            wanted = next(gen)
            while True:
                # Without news, psycopg sends a false value every 0.1 s.
                ready = yield wanted
                if not ready:
                    self._check(until)
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value

    def _check(self, until: float) -> None:
        if self.stopping is not None and self.stopping.is_set():
            reason = "the connection was closed while it waited"
        elif time.monotonic() >= until:
            reason = f"the server did not answer within {self.timeout:g} s"
        else:
            return
        # An answer that comes later must not be taken for that of another query.
        self.pgconn.finish()
        raise OperationalError(reason)


def connector(
    arguments: dict[str, Any], *, timeout: float, stopping: threading.Event | None = None
) -> Callable[[], BoundedConnection]:
    """Return what opens connections.

    Parameters
    ----------
    arguments : dict
        Of `psycopg.connect`.
    timeout : float
        Seconds that anything may take: to connect, a statement, a pause within a transaction. A
        process that is paused within a transaction would block others otherwise.
    stopping : threading.Event, optional
        Ends every wait when it is set.
    """
    milliseconds = max(int(timeout * 1000), 1)
    limits = " ".join(
        f"-c {name}={milliseconds}"
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    )
    bounds = {
        # libpq takes one second for two.
        "connect_timeout": max(math.ceil(timeout), 2),
        "keepalives_idle": max(int(timeout / 2), 1),
        "keepalives_interval": max(int(timeout / 4), 1),
        "keepalives_count": 2,
        "tcp_user_timeout": milliseconds,
        # Whatever the database has: with SQL_ASCII, SQLAlchemy would get bytes.
        "client_encoding": "UTF8",
        # What the URL says counts more.
        **arguments,
        "options": f"{limits} {arguments.get('options', '')}".strip(),
    }

    def connect() -> BoundedConnection:
        try:
            connection = BoundedConnection.connect(**bounds)
        except psycopg.Error as error:
            # The frames in the traceback would keep the socket open as long as the error is kept.
            raise error.with_traceback(None) from None
        connection.timeout = timeout
        connection.stopping = stopping
        return connection

    return connect
