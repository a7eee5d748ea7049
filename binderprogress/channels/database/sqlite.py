"""A SQLite file, which one process uses."""

from __future__ import annotations

from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import event

from ...database.connection import make_engine
from ...database.purpose import Purpose
from ...errors import ConfigError
from .cipher import Plain
from .reader import THREADS

__all__ = ["SQLite"]

_JOURNAL = 16 * 1024 * 1024
"""Bytes of the write-ahead log that are kept between checkpoints."""


class SQLite:
    """A file, its lock, and how to connect.

    Parameters
    ----------
    url : str
    purpose : Purpose
    timeout : float
        Seconds to wait for other programs, such as a backup.

    Raises
    ------
    ConfigError
        If there is no file in the URL.
    """

    is_shared = False

    def __init__(self, url: str, purpose: Purpose, *, timeout: float) -> None:
        begin, _, path = url.partition("://")
        if begin.startswith("sqlite") and (path in {"", "/", "/:memory:"} or "/file:" in path):
            raise ConfigError(
                f'{purpose.setting} needs the path of a file. Set "memory" to keep launches in '
                "memory only."
            )
        # One connection for each thread that reads, and that of the writer.
        self.engine = make_engine(
            url,
            purpose,
            timeout=timeout,
            pool_size=THREADS + 1,
            max_overflow=0,
            pool_timeout=timeout,
        )
        event.listen(self.engine, "connect", _on_connect, insert=True)
        self.where = self.engine.url.database or ""
        self.cipher = Plain()
        self._purpose = purpose
        self._lock = FileLock(f"{self.where}.lock", mode=0o600, timeout=0, thread_local=False)

    def acquire(self) -> None:
        """Lock the file, unless it is locked by this.

        Raises
        ------
        ConfigError
            If another process uses it, or it cannot be locked.
        """
        if self._lock.is_locked:
            return
        try:
            self._lock.acquire()
        except OSError as error:
            if isinstance(error, Timeout):
                raise self._taken() from error
            raise ConfigError(
                f"{self.where}.lock cannot be written: {error.strerror}. Set "
                f"{self._purpose.setting} to a file in a folder that can be written."
            ) from error

    def _taken(self) -> ConfigError:
        return ConfigError(
            f"{self.where} is used by another process. A SQLite file is for one process: stop "
            f"the other one, or set {self._purpose.setting} to another file or to PostgreSQL."
        )

    def release(self) -> None:
        """Disconnect, and unlock the file."""
        self.engine.dispose()
        self._lock.release()


def _on_connect(connection: Any, _: Any) -> None:
    # Of a new file only: what is deleted can be given back to the system.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL}")
