"""Reads what is new in many channels of PostgreSQL, with a connection of its own.

One plain statement reads all of it, because SQLAlchemy takes as long for a row as everything else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine

from ...core.events import Encoded
from ..durable import ChannelState
from .arrays import integers, texts
from .failures import discard
from .tables import to_text
from .window import News

__all__ = ["NewsReader"]

_NEAR = 1000
"""Events that are read at once with those of other channels."""

_PAGE = 8
"""Batches that are read at once of a channel in which more is new."""

# As one statement, it sees all channels and their events as of the same moment.
_NEWS = f"""
SELECT wanted.number, c."first", c.last, c.closed, b."first", b.last, b.sealed, b.data
FROM unnest(%s::text[], %s::bigint[]) WITH ORDINALITY AS wanted (name, after, number)
JOIN channels AS c ON c.id = wanted.name
LEFT JOIN batches AS b
    ON b.channel = wanted.name AND b.last > wanted.after AND c.last - wanted.after <= {_NEAR}
"""  # noqa: S608 - a constant
_NEWEST = f"""
SELECT "first", last, sealed, data FROM batches
WHERE channel = %s AND last > %s AND last <= %s ORDER BY last DESC LIMIT {_PAGE}
"""  # noqa: S608 - a constant
_BY_CHANNEL_AND_LAST = itemgetter(0, 5)


Decode = Callable[[str, int, int, bool, bytes], list[Encoded]]


class NewsReader:
    """Reads news. One thread at a time may do so.

    The connection is kept, so that nothing has to be asked before each statement.

    Parameters
    ----------
    engine : Engine
        Each of its statements sees what is committed when it begins.
    decode : callable
        Called with a channel, the numbers of the first and the last event of a row, whether it is
        sealed, and its data. Returns the events.
    """

    errors = (psycopg.Error,)
    """What the driver raises, which SQLAlchemy does not see."""

    def __init__(self, engine: Engine, decode: Decode) -> None:
        self._engine = engine
        self._decode = decode
        self._connection: Connection | None = None
        self._reading = threading.Lock()
        self._closed = False

    def read(self, known: Mapping[str, int], size: int) -> dict[str, News]:
        """Return the state of channels with what is new; see `reader.Reader.news`."""
        try:
            with self._reading:
                return self._read(known, size)
        finally:
            if self._closed:
                self.close()

    def close(self) -> None:
        """Disconnect, now or when the current call of `read` ends."""
        self._closed = True
        if self._reading.acquire(blocking=False):
            try:
                self._disconnect()
            finally:
                self._reading.release()

    def _read(self, known: Mapping[str, int], size: int) -> dict[str, News]:
        if self._connection is not None:
            try:
                return self._news(self._connection, known, size)
            except Exception:
                is_lost = _driver(self._connection).closed
                self._disconnect()
                if not is_lost:
                    raise
        # Also if the database has closed the connection since it was used last.
        self._connection = self._engine.connect()
        try:
            return self._news(self._connection, known, size)
        except BaseException:
            self._disconnect()
            raise

    def _news(self, connection: Connection, known: Mapping[str, int], size: int) -> dict[str, News]:
        ids, decode = list(known), self._decode
        found: dict[str, News] = {}
        # As binary, because the text of bytes is twice as long.
        with _driver(connection).cursor(binary=True) as cursor:
            cursor.execute(_NEWS, (texts(list(map(to_text, ids))), integers(known.values())))
            # Nothing says in which order they come.
            for row in sorted(cursor.fetchall(), key=_BY_CHANNEL_AND_LAST):
                channel_id = ids[row[0] - 1]
                news = found.get(channel_id)
                if news is None:
                    news = found[channel_id] = News(ChannelState(*row[1:4]), [])
                if row[4] is not None:
                    news.events.extend(decode(channel_id, *row[4:]))
            for channel_id, news in found.items():
                after = max(known[channel_id], news.state.first - 1)
                if not news.events and after < news.state.last:
                    newest = self._newest(cursor, channel_id, after, news.state.last, size)
                    news.events.extend(newest)
                if news.events and news.events[0].id <= after:
                    del news.events[: after + 1 - news.events[0].id]
        return found

    def _newest(
        self, cursor: Any, channel_id: str, after: int, last: int, size: int
    ) -> list[Encoded]:
        """Return the events after a number, or the newest of them, without gaps."""
        rows: list[tuple[int, int, bool, bytes]] = []
        name, before = to_text(channel_id), last
        while size > 0 and before > after:
            cursor.execute(_NEWEST, (name, after, before))
            page = cursor.fetchall()
            if not page:
                # It was deleted meanwhile.
                break
            for row in page:
                rows.append(row)
                size -= len(row[3])
                if size <= 0:
                    break
            before = rows[-1][0] - 1
        return [each for row in reversed(rows) for each in self._decode(channel_id, *row)]

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            discard(connection)


def _driver(connection: Connection) -> Any:
    """Return the driver's connection."""
    return connection.connection.driver_connection
