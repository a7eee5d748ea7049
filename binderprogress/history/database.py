"""The history in a database: SQLite, PostgreSQL, or another one that SQLAlchemy supports."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, Select, delete, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from ..core.phases import Phase
from ..core.timing.spans import PastLaunch, Span
from ..database.connection import reason_of
from ..errors import HistoryError, HistoryUnavailableError
from . import period_totals as periods
from . import queries
from .batch_writer import BatchWriter
from .connection import connect
from .models import LaunchRow, Repository
from .store import Names, Popular, Stats
from .totals import DAY, Sums

__all__ = ["Database", "key_of", "row_of"]

_SLICE = 1000
_PAGE = 20_000
_IN = 500
"""Maximum number of values in an IN clause, which databases limit."""
_TIDY = 3600.0
_CLOSE = 2.0

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[Span])


class Database:
    """A history in a database.

    Parameters
    ----------
    url : str
        A URL of SQLAlchemy, see `connection.connect`.
    timeout : float
        Seconds after which a database that does not answer is an error.
    keep_days : int
        Days that launches are kept; 0: no limit.
    max_waiting : int
        Maximum number of launches that wait to be written.
    log : logging.Logger
    clock : callable
        Returns seconds since 1970.

    Raises
    ------
    ConfigError
        If the database cannot be opened. The message says what to do.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        keep_days: int = 0,
        max_waiting: int = 10_000,
        log: logging.Logger | logging.LoggerAdapter[Any],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.engine: Engine = connect(url, timeout=timeout)
        self._writing = self.engine.execution_options(writes=True)
        self._keep_days = keep_days
        self._clock = clock
        self._writer = BatchWriter(self.write, self.tidy, size=max_waiting, every=_TIDY, log=log)

    # -- the protocol of `store.HistoryStore`

    @property
    def lost(self) -> int:
        """Number of launches that could not be written."""
        return self._writer.lost

    def add(self, past: PastLaunch) -> None:
        """Add a launch; see `store.HistoryStore.add`."""
        self._writer.add(past)

    def recent(self, limit: int) -> list[PastLaunch]:
        """Return the newest launches; see `store.HistoryStore.recent`."""
        return self._read(_launches().order_by(LaunchRow.began.desc()).limit(limit))

    def of(self, repository: str, limit: int) -> list[PastLaunch]:
        """Return the newest launches of a repository; see `store.HistoryStore.of`."""
        wanted = select(Repository.id).where(Repository.key == key_of(_clean(repository)))
        with self._reading() as connection:
            repository_id = connection.scalar(wanted)
        if repository_id is None:
            return []
        rows = _launches().where(LaunchRow.repository_id == repository_id)
        return self._read(rows.order_by(LaunchRow.began.desc()).limit(limit))

    def between(self, began: float, ended: float) -> Iterator[PastLaunch]:
        """Yield the launches of a period; see `store.HistoryStore.between`."""
        wanted = _launches().where(LaunchRow.began >= began, LaunchRow.began < ended)
        with self._reading() as connection:
            # A page at a time: a history may be large.
            rows = connection.execution_options(yield_per=_SLICE).execute(
                wanted.order_by(LaunchRow.began, LaunchRow.id)
            )
            for row in rows:
                yield _past(row)

    def stats(
        self, *, days: int, now: float, provider: str | None = None, host: str | None = None
    ) -> Stats:
        """Return statistics of the last days; see `store.HistoryStore.stats`."""
        with self._reading() as connection:
            return queries.stats(connection, days=days, now=now, provider=provider, host=host)

    def names(self) -> Names:
        """Return the providers and hosts with launches; see `store.HistoryStore.names`."""
        with self._reading() as connection:
            return periods.names(connection)

    def popular(self, *, limit: int, now: float) -> list[Popular]:
        """Return images worth pulling in advance; see `store.HistoryStore.popular`."""
        with self._reading() as connection:
            return queries.popular(connection, limit=limit, now=now)

    def close(self) -> None:
        """Write pending launches, and disconnect from the database."""
        self._writer.close(timeout=_CLOSE)
        self.engine.dispose()

    # -- writing

    def flush(self) -> None:
        """Wait until all pending launches are written or lost."""
        self._writer.flush()

    def write(self, launches: Iterable[PastLaunch]) -> None:
        """Write launches and update the totals, all or nothing, in the calling thread."""
        cleaned = [_cleaned(past) for past in launches]
        sums = _sums(cleaned)
        rows = [row_of(past) for past in cleaned]
        with self._writing.begin() as connection:
            # First the statements that lock rows, in the same order in every transaction.
            queries.add_repositories(connection, sums)
            ids = _ids(connection, list(sums.repositories))
            for row, past in zip(rows, cleaned, strict=True):
                row["repository_id"] = ids[key_of(past.repository)]
            connection.execute(insert(LaunchRow), rows)
            queries.add_counts(connection, sums, ids)

    def tidy(self, stop: threading.Event) -> None:
        """Remove launches older than `keep_days`, slice by slice, until `stop` is set."""
        if not self._keep_days:
            return
        # Only complete days, because totals are those of days.
        first = int(self._clock() // DAY) - self._keep_days
        with self._writing.begin() as connection:
            periods.forget_before(connection, first)
        while not stop.is_set() and self._remove_slice(first * DAY):
            pass

    def _remove_slice(self, before: float) -> bool:
        """Remove a slice of launches that began before a time. Return whether more may follow."""
        old = select(LaunchRow.id).where(LaunchRow.began < before).limit(_SLICE)
        with self._writing.begin() as connection:
            ids = list(connection.scalars(old))
            if not ids:
                return False
            rows = connection.execute(_launches().where(LaunchRow.id.in_(ids)))
            queries.take_away(connection, _sums(map(_past, rows)))
            connection.execute(delete(LaunchRow).where(LaunchRow.id.in_(ids)))
            queries.forget_empty(connection)
        return len(ids) == _SLICE

    def rebuild(self, progress: Callable[[int], None] = lambda _: None) -> int:
        """Recompute all totals from the launches; see `store.HistoryStore.rebuild`."""
        try:
            with self._writing.begin() as connection:
                return self._rebuild(connection, progress)
        except (SQLAlchemyError, msgspec.MsgspecError) as error:
            raise HistoryError(
                f"The totals of {self} could not be rebuilt, and are unchanged: {reason_of(error)}"
            ) from error

    def _rebuild(self, connection: Connection, progress: Callable[[int], None]) -> int:
        if connection.dialect.name == "postgresql":
            # No other transaction may add launches. SQLite has only one writer at a time.
            connection.execute(text("LOCK TABLE repositories IN EXCLUSIVE MODE"))
        queries.forget_all(connection)
        count = last = 0
        while True:
            page = _launches().where(LaunchRow.id > last).order_by(LaunchRow.id)
            rows = connection.execute(page.limit(_PAGE)).all()
            if not rows:
                break
            last = rows[-1].id
            sums = _sums(map(_past, rows))
            queries.add_repositories(connection, sums)
            queries.add_counts(connection, sums, _ids(connection, list(sums.repositories)))
            count += len(rows)
            progress(count)
        queries.forget_empty(connection)
        return count

    def __str__(self) -> str:
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Connect to read.

        Raises
        ------
        HistoryUnavailableError
            If the database reports an error.
        """
        try:
            with self.engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise HistoryUnavailableError(
                f"The history of launches cannot be read: {reason_of(error)}"
            ) from error

    def _read(self, query: Select[Any]) -> list[PastLaunch]:
        with self._reading() as connection:
            return [_past(row) for row in connection.execute(query)]


def _launches() -> Select[Any]:
    return select(LaunchRow.__table__, Repository.address).join(Repository)


def _past(row: Row[Any]) -> PastLaunch:
    return PastLaunch(
        began=row.began,
        provider=row.provider,
        repository=row.address,
        ref=row.ref,
        commit=row.commit,
        host=row.host,
        image=row.image,
        outcome=Phase(row.outcome),
        reason=row.reason,
        cold=row.cold,
        joined=row.joined,
        image_bytes=row.image_bytes,
        spans=_decoder.decode(row.spans),
    )


def row_of(past: PastLaunch) -> dict[str, Any]:
    """Return the columns of a launch, without the id of its repository."""
    return {
        "began": past.began,
        "provider": past.provider,
        "ref": past.ref,
        "commit": past.commit,
        "host": past.host,
        "image": past.image,
        "outcome": past.outcome.value,
        "reason": past.reason,
        "cold": past.cold,
        "joined": past.joined,
        "image_bytes": past.image_bytes,
        "spans": _encoder.encode(past.spans).decode(),
    }


def _sums(launches: Iterable[PastLaunch]) -> Sums:
    sums = Sums()
    for past in launches:
        names = (past.host, past.repository, past.image)
        image = key_of("\0".join(names)) if past.image else ""
        sums.add(past, repository=key_of(past.repository), image=image)
    return sums


def _ids(connection: Any, keys: list[str]) -> dict[str, int]:
    ids: dict[str, int] = {}
    for start in range(0, len(keys), _IN):
        wanted = keys[start : start + _IN]
        rows = connection.execute(
            select(Repository.key, Repository.id).where(Repository.key.in_(wanted))
        )
        ids.update((row.key, row.id) for row in rows)
    return ids


def key_of(name: str) -> str:
    """Return a hash of a name that may be too long for an index."""
    return hashlib.sha256(name.encode()).hexdigest()


def _cleaned(past: PastLaunch) -> PastLaunch:
    """Return the launch with values that any database accepts, such as names of 255 characters."""
    names = ("provider", "commit", "host", "reason")
    texts = ("repository", "ref", "image")
    return msgspec.structs.replace(
        past,
        **{name: _clean(getattr(past, name))[:255] for name in names},
        **{name: _clean(getattr(past, name)) for name in texts},
        spans=[
            msgspec.structs.replace(s, step=_clean(s.step), label=_clean(s.label))
            for s in past.spans
        ],
    )


def _clean(value: str) -> str:
    """Return text without null characters and lone surrogates, which databases reject."""
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
