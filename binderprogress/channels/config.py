"""The configuration of the channel store."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from platformdirs import user_data_path
from traitlets import Bool, Float, Integer, Unicode, default
from traitlets.config import LoggingConfigurable

from .._private import make_private_folder
from ..errors import ConfigError
from .base import ChannelStore
from .durable import WINDOW
from .keys import KEY_VARIABLE
from .memory import MemoryChannelStore

__all__ = ["MEMORY", "Storage"]

MEMORY = "memory"
"""The URL of a store in memory."""


class Storage(LoggingConfigurable):
    """Where launches and their events are stored, so that they survive a restart."""

    url = Unicode(
        None,
        allow_none=True,
        help="""
        Where launches are stored: a file of SQLite for one process, such as
        sqlite:////srv/launches.sqlite, or PostgreSQL for any number of replicas, such as
        postgresql://user:password@host/name. The default is a file in the user's data folder. With
        "memory", launches end with the server.
        """,
    ).tag(config=True)

    window = Integer(
        WINDOW,
        min=0,
        help="Bytes of the newest events of a channel that are kept in memory while it is written "
        "or watched. Older events are read from the database.",
    ).tag(config=True)

    timeout = Float(
        10.0, min=1.0, help="Seconds after which a database that does not answer is an error."
    ).tag(config=True)

    lease_time = Float(
        15.0,
        min=1.0,
        help="With PostgreSQL: seconds after which a replica that is silent counts as gone. Others "
        "then go on with its launches.",
    ).tag(config=True)

    disk_budget = Integer(
        10 * 1024**3,
        min=0,
        help="Bytes of events that are stored. If there are more, ended launches and builds are "
        "deleted before they expire, those that expire first.",
    ).tag(config=True)

    log_folder = Unicode(
        help='Folder for the full logs of builds. The default is "logs" in the user\'s data folder.'
    ).tag(config=True)

    share_logs = Bool(
        True,
        help="With PostgreSQL: whether full logs of builds are copied there when they end, so that "
        "each replica can return them. Turn it off if all replicas have the same log_folder.",
    ).tag(config=True)

    @default("log_folder")
    def _default_log_folder(self) -> str:
        return str(user_data_path("binderprogress") / "logs")

    def open_logs(self) -> Path:
        """Return the folder for the full logs of builds. It is created, for this user only.

        Raises
        ------
        ConfigError
            If it cannot be created.
        """
        folder = Path(self.log_folder).expanduser()
        try:
            make_private_folder(folder)
        except OSError as error:
            raise ConfigError(
                f"The folder {folder} for the logs of builds cannot be created: {error.strerror}. "
                "Set c.Storage.log_folder to another place."
            ) from error
        return folder

    def open_store(self) -> ChannelStore:
        """Return the store. One in a database still has to be opened, with its `open`.

        Raises
        ------
        ConfigError
            If a store is configured that can never be used.
        """
        if self.url == MEMORY:
            return MemoryChannelStore()
        missing = [
            name
            for name in ("sqlalchemy", "alembic", "filelock")
            if importlib.util.find_spec(name) is None
        ]
        if missing:
            return self.fallback(
                ConfigError(
                    f"{' and '.join(missing)} is not installed. "
                    "Install it with: pip install 'binderprogress[storage]'"
                )
            )
        # SQLAlchemy is needed only here.
        from .database.store import DatabaseStore

        path = user_data_path("binderprogress") / "launches.sqlite"
        try:
            store = DatabaseStore(
                self.url or f"sqlite:///{path}",
                window=self.window,
                timeout=self.timeout,
                lasts=self.lease_time,
                budget=self.disk_budget,
                keys=os.environ.get(KEY_VARIABLE, ""),
                share_logs=self.share_logs,
                log=self.log,
            )
            # Now, so that a second server of the same user keeps its launches in memory.
            store.reserve()
        except ConfigError as error:
            return self.fallback(error)
        return store

    def fallback(self, error: ConfigError) -> ChannelStore:
        """Return a store in memory if the default store cannot be used, such as a read-only file.

        Raises
        ------
        ConfigError
            If a store is configured: it must not be replaced silently.
        """
        if self.url is not None:
            raise error
        self.log.warning("Launches end with this server: %s", error)
        return MemoryChannelStore()
