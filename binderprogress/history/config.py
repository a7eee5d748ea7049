"""The configuration of the history."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from platformdirs import user_data_path
from traitlets import Float, Integer, Unicode
from traitlets.config import LoggingConfigurable

from ..errors import ConfigError
from .store import HistoryStore, NoHistory

__all__ = ["History"]


class History(LoggingConfigurable):
    """The history of finished launches. It contains no client addresses, users or tokens."""

    url = Unicode(
        None,
        allow_none=True,
        help="""
        URL of the database for SQLAlchemy, such as sqlite:////srv/history.sqlite or
        postgresql://user:password@host/name. The default is a file in the user's data folder. With
        "", no history is kept.
        """,
    ).tag(config=True)

    keep_days = Integer(400, min=0, help="Days that launches are kept; 0: no limit.").tag(
        config=True
    )

    timeout = Float(
        30.0,
        min=1.0,
        help="""
        Seconds after which a database that does not answer is an error, also for each statement of
        a migration. Launches do not wait for it.
        """,
    ).tag(config=True)

    max_waiting = Integer(
        10_000,
        min=1,
        help="Maximum number of launches that wait while the database is unavailable. Further ones "
        "are lost, and counted.",
    ).tag(config=True)

    def file(self) -> Path | None:
        """Return the SQLite file of the history. None if it has none, or has another database."""
        if self.url is None:
            return _default_file()
        if importlib.util.find_spec("sqlalchemy") is None:
            return None
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            url = make_url(self.url)
        except ArgumentError:
            return None  # `open` explains it
        name = url.database or ":memory:"
        if url.get_backend_name() != "sqlite" or name.startswith((":", "file:")):
            return None
        return Path(name).expanduser()

    def open(self) -> HistoryStore:
        """Open the history. This blocks until the database responds.

        Raises
        ------
        ConfigError
            If the configured database cannot be opened.
        """
        if self.url == "":
            return NoHistory()
        missing = [
            name for name in ("sqlalchemy", "alembic") if importlib.util.find_spec(name) is None
        ]
        if missing:
            return self._without(
                f"{' and '.join(missing)} is not installed. "
                "Install it with: pip install 'binderprogress[history]'"
            )
        # SQLAlchemy is needed only here.
        from .database import Database

        options: dict[str, Any] = {
            "timeout": self.timeout,
            "keep_days": self.keep_days,
            "max_waiting": self.max_waiting,
            "log": self.log,
        }
        if self.url is not None:
            return Database(self.url, **options)
        try:
            return Database(f"sqlite:///{_default_file()}", **options)
        except ConfigError as error:
            # The default must not keep the server from starting, as with a read-only home folder.
            return self._without(str(error))

    def _without(self, why: str) -> HistoryStore:
        if self.url is not None:
            raise ConfigError(f"c.History.url cannot be used: {why}")
        self.log.warning("The history of launches is disabled: %s", why)
        return NoHistory()


def _default_file() -> Path:
    return user_data_path("binderprogress") / "history.sqlite"
