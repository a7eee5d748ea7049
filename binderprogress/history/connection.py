"""Connects to the history's database."""

from __future__ import annotations

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from ..database.connection import make_engine, prepare, reason_of
from ..database.purpose import Purpose
from ..errors import ConfigError

__all__ = ["connect"]

_PURPOSE = Purpose(
    name="history",
    setting="c.History.url",
    instead='to another database, or to "" for no history',
    file="history.sqlite",
    migrations="binderprogress.history:migrations",
    version_table="alembic_version",
    version="0002",
)


def connect(url: str, *, timeout: float = 30.0) -> Engine:
    """Open a database and create or migrate its tables.

    Parameters
    ----------
    url : str
        A URL of SQLAlchemy, see `database.connection.make_engine`.
    timeout : float
        Seconds after which a database that does not answer is an error.

    Raises
    ------
    ConfigError
        If the URL is not valid, its driver is not installed, or the database cannot be used.
    """
    engine = make_engine(url, _PURPOSE, timeout=timeout)
    try:
        prepare(engine, _PURPOSE)
    except (SQLAlchemyError, OSError) as error:
        engine.dispose()
        raise ConfigError(
            f"The history cannot be opened at {engine.url.render_as_string(hide_password=True)}: "
            f"{reason_of(error)}. {_PURPOSE.advice}"
        ) from error
    except ConfigError:
        engine.dispose()
        raise
    return engine
