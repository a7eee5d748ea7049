"""What can be configured of the history."""

from __future__ import annotations

import importlib.util
from typing import Any

from platformdirs import user_data_path
from traitlets import Integer, Unicode
from traitlets.config import LoggingConfigurable

from ..errors import ConfigError
from .store import HistoryStore, NoHistory

__all__ = ["History"]


class History(LoggingConfigurable):
    """What is kept of launches that are over: no addresses of people, no users, no tokens."""

    url = Unicode(
        None,
        allow_none=True,
        help="""
        The URL of a database, as SQLAlchemy has it: sqlite:////srv/history.sqlite,
        postgresql://user:password@host/name. By default a file in the user's data folder. "" keeps
        nothing.
        """,
    ).tag(config=True)

    keep_days = Integer(400, min=0, help="For how many days launches are kept; 0: for ever.").tag(
        config=True
    )

    max_waiting = Integer(
        10_000,
        min=1,
        help="How many launches may wait to be written while the database is away; more are lost, "
        "and counted.",
    ).tag(config=True)

    def open(self) -> HistoryStore:
        """Open it; it takes as long as the database does.

        Raises
        ------
        ConfigError
            If a database that is configured cannot be opened.
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
        # Only here: who keeps no history needs none of it.
        from .database import Database

        options: dict[str, Any] = {
            "keep_days": self.keep_days,
            "max_waiting": self.max_waiting,
            "log": self.log,
        }
        if self.url is not None:
            return Database(self.url, **options)
        path = user_data_path("binderprogress") / "history.sqlite"
        try:
            return Database(f"sqlite:///{path}", **options)
        except ConfigError as error:
            # Nobody asked for this one: a home that is read-only is no reason not to serve.
            return self._without(str(error))

    def _without(self, why: str) -> HistoryStore:
        if self.url is not None:
            raise ConfigError(f"c.History.url cannot be used: {why}")
        self.log.warning("No history of launches is kept: %s", why)
        return NoHistory()
