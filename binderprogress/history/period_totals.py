"""Writes and reads the totals of days and weeks in the database."""

from __future__ import annotations

from collections import defaultdict

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, select, update

from .histogram import Ended, Phases, add_ended, add_phases
from .models import ALL, PeriodTotal
from .store import Names
from .totals import PERIODS, Period, Sums, begin_of
from .upsert import insert_missing

__all__ = ["add", "forget_all", "forget_before", "names", "read_ended", "read_phases"]

_NOTHING = "{}"
_BUT_DAYS = ("provider", "host", "day")
_KEY = ("provider", "host", "days", "day")
_C = PeriodTotal.__table__.c
_EACH = select(*(_C[name] for name in _KEY), _C.ended, _C.phases)
# Sorted, so that two transactions with the same rows do not deadlock.
_LOCKED = _EACH.order_by(*(_C[name] for name in _KEY)).with_for_update()
_encode = msgspec.json.Encoder(order="deterministic").encode
_ended = msgspec.json.Decoder(Ended)
_phases = msgspec.json.Decoder(Phases)


def add(connection: Connection, sums: Sums) -> None:
    """Add launches to the totals."""
    periods = sums.periods()
    if periods:
        nothing = {"ended": _NOTHING, "phases": _NOTHING}
        rows = [{**period._asdict(), **nothing} for period in periods]
        insert_missing(connection, PeriodTotal, _KEY, rows)
    for days in PERIODS:
        wanted = [period for period in periods if period.days == days]
        query = _LOCKED.where(
            _C.days == days, *(_C[n].in_({getattr(p, n) for p in wanted}) for n in _BUT_DAYS)
        )
        changed = []
        for *key, ended, phases in connection.execute(query):
            # The query also returns combinations of provider and host that no launch has.
            if (period := Period(*key)) in periods:
                more_ended, more_phases = periods[period]
                changed.append(
                    (
                        period,
                        add_ended([_ended.decode(ended), more_ended]),
                        add_phases([_phases.decode(phases), more_phases]),
                    )
                )
        _change(connection, changed)


def forget_before(connection: Connection, day: int) -> None:
    """Remove the totals before a day. The totals of its week are recomputed from the other days."""
    deleted = connection.execute(delete(PeriodTotal).where(_C.days == 1, _C.day < day))
    if not deleted.rowcount:
        return
    week = begin_of(day, 7)
    connection.execute(delete(PeriodTotal).where(_C.days == 7, _C.day < week))
    is_week = and_(_C.days == 7, _C.day == week)
    # Locked: a concurrent transaction has already added its launches, or waits.
    weeks = [Period(*key) for *key, _, _ in connection.execute(_LOCKED.where(is_week))]
    remaining: defaultdict[Period, list[tuple[Ended, Phases]]] = defaultdict(list)
    in_week = _EACH.where(_C.days == 1, _C.day.between(week, week + 6))
    for *key, ended, phases in connection.execute(in_week):
        period = Period(*key)._replace(days=7, day=week)
        remaining[period].append((_ended.decode(ended), _phases.decode(phases)))
    _change(
        connection,
        [
            (
                period,
                add_ended(ended for ended, _ in remaining[period]),
                add_phases(phases for _, phases in remaining[period]),
            )
            for period in weeks
        ],
    )
    connection.execute(delete(PeriodTotal).where(is_week, _C.ended == _NOTHING))


def forget_all(connection: Connection) -> None:
    """Remove all totals."""
    connection.execute(delete(PeriodTotal))


def _change(connection: Connection, totals: list[tuple[Period, Ended, Phases]]) -> None:
    if not totals:
        return
    has_key = [_C[name] == bindparam(f"of_{name}") for name in _KEY]
    connection.execute(
        update(PeriodTotal.__table__).where(*has_key),  # type: ignore[arg-type] # it is a Table
        [
            {
                **{f"of_{name}": value for name, value in period._asdict().items()},
                "ended": _encode(ended).decode(),
                "phases": _encode(phases).decode(),
            }
            for period, ended, phases in totals
        ],
    )


# -- reading


def names(connection: Connection) -> Names:
    """Return the providers and hosts that have totals."""
    query = select(_C.provider, _C.host).distinct()
    rows = connection.execute(query).all()
    providers, hosts = ({row[index] for row in rows} - {ALL} for index in (0, 1))
    return Names(providers=sorted(providers), hosts=sorted(hosts))


def read_ended(
    connection: Connection, provider: str, host: str, first: int
) -> list[tuple[int, Ended]]:
    """Return the number of launches by outcome for each day, beginning with `first`."""
    query = select(_C.day, _C.ended).where(_is(provider, host, 1), _C.day >= first)
    rows = connection.execute(query.order_by(_C.day))
    return [(day, _ended.decode(ended)) for day, ended in rows]


def read_phases(
    connection: Connection, provider: str, host: str, first: int, *, weeks: bool
) -> tuple[list[tuple[int, Phases]], Phases]:
    """Return durations for each day or week, beginning with the day `first`, and their total.

    If a week begins before the first day, only its days from then on count.
    """
    query = select(_C.day, _C.phases).order_by(_C.day)
    week = begin_of(first, 7)
    begin = first if first == week else week + 7
    days = query.where(_is(provider, host, 1), _C.day >= first)
    rows = connection.execute(days.where(_C.day < begin) if weeks else days)
    by_day = [(day, _phases.decode(phases)) for day, phases in rows]
    rows = connection.execute(query.where(_is(provider, host, 7), _C.day >= begin))
    by_week = [(day, _phases.decode(phases)) for day, phases in rows]
    # Weeks where possible, so that there are fewer histograms to add.
    before = [phases for day, phases in by_day if day < begin]
    total = add_phases([*before, *(phases for _, phases in by_week)])
    if not weeks:
        return by_day, total
    return [(week, add_phases(before)), *by_week] if before else by_week, total


def _is(provider: str, host: str, days: int) -> ColumnElement[bool]:
    return and_(_C.provider == provider, _C.host == host, _C.days == days)
