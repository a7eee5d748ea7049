"""What a database is used for."""

from __future__ import annotations

import msgspec

__all__ = ["Purpose"]


class Purpose(msgspec.Struct, frozen=True, kw_only=True):
    """What a database is used for, as errors name it, and where its migrations are.

    Attributes
    ----------
    name : str
        Such as "history", after "the".
    setting : str
        The setting with its URL, such as "c.History.url".
    instead : str
        What the setting may be otherwise: 'to another database, or to "" for no history'.
    file : str
        An example of a file's name.
    migrations : str
        The folder of Alembic's scripts, such as "package:folder".
    version_table : str
        Where Alembic notes the version. Each purpose has its own, so that they may share a
        database.
    version : str
        The newest revision of Alembic's scripts. Tables that have it need no migration.
    """

    name: str
    setting: str
    instead: str
    file: str
    migrations: str
    version_table: str
    version: str

    @property
    def advice(self) -> str:
        """A sentence that says what to do if the database cannot be used."""
        return f"Set {self.setting} {self.instead}."
