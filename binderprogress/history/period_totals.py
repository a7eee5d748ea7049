"""The sums over days and weeks in the database: written, and read."""

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
# In one order: two who change the same wait for each other, and not for ever.
_LOCKED = _EACH.order_by(*(_C[name] for name in _KEY)).with_for_update()
_encode = msgspec.json.Encoder(order="deterministic").encode
_ended = msgspec.json.Decoder(Ended)
_phases = msgspec.json.Decoder(Phases)


def add(connection: Connection, sums: Sums) -> None:
    """Add what launches come to."""
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
            # It may be of a provider and a host that do not come together in these launches.
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
    """Remove what lies before a day; of its week, the days that are left count."""
    gone = connection.execute(delete(PeriodTotal).where(_C.days == 1, _C.day < day))
    if not gone.rowcount:
        return
    week = begin_of(day, 7)
    connection.execute(delete(PeriodTotal).where(_C.days == 7, _C.day < week))
    is_week = and_(_C.days == 7, _C.day == week)
    # Who adds a launch to it has done so, or waits until this is done.
    weeks = [Period(*key) for *key, _, _ in connection.execute(_LOCKED.where(is_week))]
    left: defaultdict[Period, list[tuple[Ended, Phases]]] = defaultdict(list)
    in_week = _EACH.where(_C.days == 1, _C.day.between(week, week + 6))
    for *key, ended, phases in connection.execute(in_week):
        period = Period(*key)._replace(days=7, day=week)
        left[period].append((_ended.decode(ended), _phases.decode(phases)))
    _change(
        connection,
        [
            (
                period,
                add_ended(ended for ended, _ in left[period]),
                add_phases(phases for _, phases in left[period]),
            )
            for period in weeks
        ],
    )
    connection.execute(delete(PeriodTotal).where(is_week, _C.ended == _NOTHING))


def forget_all(connection: Connection) -> None:
    """Begin them anew."""
    connection.execute(delete(PeriodTotal))


def _change(connection: Connection, found: list[tuple[Period, Ended, Phases]]) -> None:
    if not found:
        return
    is_it = [_C[name] == bindparam(f"of_{name}") for name in _KEY]
    connection.execute(
        update(PeriodTotal.__table__).where(*is_it),  # type: ignore[arg-type] # it is a Table
        [
            {
                **{f"of_{name}": value for name, value in period._asdict().items()},
                "ended": _encode(ended).decode(),
                "phases": _encode(phases).decode(),
            }
            for period, ended, phases in found
        ],
    )


# -- reading


def names(connection: Connection) -> Names:
    """Return the providers and hosts that there are sums of."""
    query = select(_C.provider, _C.host).distinct()
    found = connection.execute(query).all()
    providers, hosts = ({row[index] for row in found} - {ALL} for index in (0, 1))
    return Names(providers=sorted(providers), hosts=sorted(hosts))


def read_ended(
    connection: Connection, provider: str, host: str, first: int
) -> list[tuple[int, Ended]]:
    """Return how launches ended, by the day, from the first on; `ALL` stands for all."""
    query = select(_C.day, _C.ended).where(_is(provider, host, 1), _C.day >= first)
    rows = connection.execute(query.order_by(_C.day))
    return [(day, _ended.decode(ended)) for day, ended in rows]


def read_phases(
    connection: Connection, provider: str, host: str, first: int, *, weeks: bool
) -> tuple[list[tuple[int, Phases]], Phases]:
    """Return how long launches took, by the day or the week, from the first day on, and in all.

    Of a week that begins before the first day, only the days that are meant count.
    """
    query = select(_C.day, _C.phases).order_by(_C.day)
    week = begin_of(first, 7)
    begin = first if first == week else week + 7
    days = query.where(_is(provider, host, 1), _C.day >= first)
    rows = connection.execute(days.where(_C.day < begin) if weeks else days)
    by_day = [(day, _phases.decode(phases)) for day, phases in rows]
    rows = connection.execute(query.where(_is(provider, host, 7), _C.day >= begin))
    by_week = [(day, _phases.decode(phases)) for day, phases in rows]
    # As few as there can be.
    before = [phases for day, phases in by_day if day < begin]
    whole = add_phases([*before, *(phases for _, phases in by_week)])
    if not weeks:
        return by_day, whole
    return [(week, add_phases(before)), *by_week] if before else by_week, whole


def _is(provider: str, host: str, days: int) -> ColumnElement[bool]:
    return and_(_C.provider == provider, _C.host == host, _C.days == days)
