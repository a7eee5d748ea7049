"""A PostgreSQL, which many replicas use."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ...database.connection import make_engine
from ...database.purpose import Purpose
from ...errors import ConfigError
from .cipher import Keys
from .reader import THREADS

__all__ = ["PostgreSQL"]

# All rows are found by an index. The planner does not know how many versions of a row there are
# that was changed a hundred times a second, and would read all of them. What has no index seems so
# expensive then that it would be compiled, which takes seconds.
_OPTIONS = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"


class PostgreSQL:
    """A database, and how to connect.

    Parameters
    ----------
    url : str
    purpose : Purpose
    timeout : float
        Seconds after which a server that does not answer is an error.
    keys : str
        What tokens are encrypted with, see `cipher.Keys`.
    stopping : threading.Event
        Ends everything that waits for the server.

    Raises
    ------
    ConfigError
        If the URL or a key is not valid, or a package is missing.
    """

    is_shared = True

    def __init__(
        self, url: str, purpose: Purpose, *, timeout: float, keys: str, stopping: threading.Event
    ) -> None:
        self.cipher = Keys(keys)
        # One connection for each thread that reads, and that of the writer.
        self.engine = make_engine(
            url,
            purpose,
            timeout=timeout,
            stopping=stopping,
            server_options=_OPTIONS,
            pool_size=THREADS + 1,
            max_overflow=0,
            pool_timeout=timeout,
        )
        if self.engine.driver != "psycopg":
            raise ConfigError(f"{purpose.setting} must begin with postgresql://, for psycopg.")
        self.where = self.engine.url.set(
            drivername="postgresql", password=None, query={}
        ).render_as_string()
        self._timeout = timeout

    def connector(self, stopping: threading.Event) -> Callable[[], Any]:
        """Return what opens a connection without SQLAlchemy."""
        from ...database.postgresql import connector  # psycopg is needed only here

        _, arguments = self.engine.dialect.create_connect_args(self.engine.url)
        return connector(dict(arguments), timeout=self._timeout, stopping=stopping)

    def acquire(self) -> None:
        """Do nothing: any number of replicas may use it."""

    def release(self) -> None:
        """Disconnect."""
        self.engine.dispose()
