"""The sums and counts in the database: written, and read for pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, case, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ..core.phases import Phase
from .base import Day, Distribution, Popular, ReasonCount, SlowRepository, Stats
from .rollups import DAY, TOTAL, Sums, quantiles, weight
from .tables import ALL, Base, ImageTotal, OutcomeCount, PhaseCount, Repository

__all__ = [
    "add_counts",
    "add_repositories",
    "forget_all",
    "forget_empty",
    "popular",
    "stats",
    "take_away",
]

_REPOSITORY_SUMS = ("launches", "ready", "failed", "seconds", "pulled", "weight")
_IMAGE_SUMS = ("launches", "pulls", "pulled", "weight")
_SHARES = (0.10, 0.25, 0.50, 0.75, 0.90)
_MOST_REPOSITORIES = 20
_MOST_REASONS = 50
_ENOUGH = 3
"""As many launches that are ready: one slow one says little of its repository."""
_MOST_DAYS = 92
"""Over more, phases are told by the week: a picture has no room for more."""
_ORDER = (Phase.WAITING, Phase.FETCHING, Phase.BUILDING, Phase.PUSHING, Phase.LAUNCHING, TOTAL)

_Rows = Sequence[Mapping[str, Any]]

# -- writing


def add_repositories(connection: Connection, sums: Sums) -> None:
    """Add to the sums of repositories."""
    _count_up(connection, Repository, ("key",), _REPOSITORY_SUMS, [*sums.repositories.values()])


def add_counts(connection: Connection, sums: Sums, ids: Mapping[str, int]) -> None:
    """Add to all other sums and counts; `ids` are those of the repositories, by their keys."""
    images = [
        {
            **{k: v for k, v in row.items() if k != "repository"},
            "repository_id": ids[row["repository"]],
        }
        for row in sums.images.values()
    ]
    _count_up(
        connection, ImageTotal, ("key",), _IMAGE_SUMS, images, newest=("ref", "commit", "last")
    )
    phases = ("day", "provider", "host", "cold", "phase", "bin")
    rows = [
        {**dict(zip(phases, key, strict=True)), "launches": n} for key, n in sums.phases.items()
    ]
    _count_up(connection, PhaseCount, phases, ("launches",), rows)
    outcomes = ("day", "provider", "host", "cold", "outcome", "reason")
    rows = [
        {**dict(zip(outcomes, key, strict=True)), "launches": n} for key, n in sums.outcomes.items()
    ]
    _count_up(connection, OutcomeCount, outcomes, ("launches",), rows)


def take_away(connection: Connection, sums: Sums) -> None:
    """Take from the sums of repositories and images what launches have added that are removed."""
    tables: list[tuple[type[Base], tuple[str, ...], Any]] = [
        (Repository, _REPOSITORY_SUMS, sums.repositories),
        (ImageTotal, _IMAGE_SUMS, sums.images),
    ]
    for table, names, found in tables:
        if not found:
            continue
        columns = table.__table__.c
        statement = (
            update(table.__table__)  # type: ignore[arg-type] # a mapped class has a Table
            .where(columns.key == bindparam("of"))
            .values({name: columns[name] - bindparam(f"less_{name}") for name in names})
        )
        connection.execute(
            statement,
            [
                {"of": key, **{f"less_{name}": found[key][name] for name in names}}
                for key in sorted(found)
            ],
        )


def forget_empty(connection: Connection) -> None:
    """Remove repositories and images without launches."""
    connection.execute(delete(ImageTotal).where(ImageTotal.launches <= 0))
    connection.execute(delete(Repository).where(Repository.launches <= 0))


def forget_all(connection: Connection) -> None:
    """Begin all sums and counts anew."""
    for table in (ImageTotal, PhaseCount, OutcomeCount):
        connection.execute(delete(table))
    connection.execute(update(Repository).values(dict.fromkeys(_REPOSITORY_SUMS, 0)))


def _count_up(
    connection: Connection,
    table: type[Base],
    key: Sequence[str],
    sums: Sequence[str],
    rows: list[dict[str, Any]],
    newest: Sequence[str] = (),
) -> None:
    """Add to rows that are there, and insert the others.

    Parameters
    ----------
    newest : sequence of str
        Columns that are taken over from whichever has the greater `last`.
    """
    if not rows:
        return
    # In one order: two who count up the same rows do not wait for each other for ever.
    rows.sort(key=lambda row: [row[name] for name in key])
    statement = _upsert(connection, table)
    if statement is None:
        _count_up_plainly(connection, table, key, sums, rows, newest)
        return
    columns, new = table.__table__.c, statement.excluded
    values = {name: columns[name] + new[name] for name in sums}
    for name in newest:
        values[name] = case((new["last"] >= columns["last"], new[name]), else_=columns[name])
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values), rows)


def _upsert(connection: Connection, table: type[Base]) -> sqlite.Insert | postgresql.Insert | None:
    """Return a statement that may update instead, if the database has one."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return None


def _count_up_plainly(
    connection: Connection,
    table: type[Base],
    key: Sequence[str],
    sums: Sequence[str],
    rows: list[dict[str, Any]],
    newest: Sequence[str],
) -> None:
    """Do the same where the database has no statement for it."""
    columns = table.__table__.c
    for row in rows:
        values: dict[str, Any] = {name: columns[name] + row[name] for name in sums}
        for name in newest:
            newer = columns["last"] <= row["last"]
            values[name] = case((newer, row[name]), else_=columns[name])
        is_it = [columns[name] == row[name] for name in key]
        done = connection.execute(update(table).where(*is_it).values(values))
        if not done.rowcount:
            connection.execute(insert(table), row)


# -- reading


def stats(connection: Connection, *, days: int, now: float, provider: str, host: str) -> Stats:
    """Say where the time went in the last days."""
    first = int(now // DAY) - days + 1
    by_day, reasons = _outcomes(connection, first, provider, host)
    return Stats(
        days=by_day,
        phases=_phases(connection, first, provider, host, 7 if days > _MOST_DAYS else 1),
        reasons=reasons,
        repositories=_slowest(connection, provider),
    )


def _outcomes(
    connection: Connection, first: int, provider: str, host: str
) -> tuple[list[Day], list[ReasonCount]]:
    table = OutcomeCount
    query = (
        select(table.day, table.cold, table.outcome, table.reason, func.sum(table.launches))
        .where(table.day >= first, *_filters(table, provider, host))
        .group_by(table.day, table.cold, table.outcome, table.reason)
    )
    days: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    reasons: dict[tuple[str, str], int] = defaultdict(int)
    for day, cold, outcome, reason, launches in connection.execute(query):
        days[day][outcome] += int(launches)
        if outcome == Phase.READY:
            days[day]["cold"] += int(launches) if cold else 0
        else:
            reasons[outcome, reason] += int(launches)
    most = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:_MOST_REASONS]
    return (
        [Day(day=_date(day), **days[day]) for day in sorted(days)],
        [ReasonCount(outcome=Phase(o), reason=r, launches=n) for (o, r), n in most],
    )


def _phases(
    connection: Connection, first: int, provider: str, host: str, every: int
) -> list[Distribution]:
    table = PhaseCount
    # Weeks begin with a Monday, and the first day of all was a Thursday.
    since_monday = 3 if every == 7 else 0
    time = ((table.day + since_monday) // every).label("time")
    query = (
        select(table.cold, table.phase, time, table.bin, func.sum(table.launches))
        .where(table.day >= first)
        .group_by(table.cold, table.phase, time, table.bin)
    )
    if provider or host:
        query = query.where(table.provider != ALL, *_filters(table, provider, host))
    else:
        query = query.where(table.provider == ALL, table.host == ALL)
    # The key is "" for all days together, which so come first.
    found: dict[tuple[str, bool], dict[str, dict[int, int]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(int))
    )
    dates: dict[int, str] = {}
    for cold, phase, begins, number, count in connection.execute(query):
        day, launches = begins * every - since_monday, int(count)
        date = dates.get(day) or dates.setdefault(day, _date(day))
        by_day = found[phase, cold]
        by_day[""][number] += launches
        by_day[date][number] += launches
    return [
        _distribution(phase, cold, date, bins)
        for phase in _ORDER
        for cold in (True, False)
        for date, bins in sorted(found.get((phase, cold), {}).items())
    ]


def _distribution(phase: str, cold: bool, day: str, bins: Mapping[int, int]) -> Distribution:
    p10, p25, p50, p75, p90 = quantiles(bins, _SHARES)
    return Distribution(
        phase=str(phase),
        cold=cold,
        day=day,
        launches=sum(bins.values()),
        p10=p10,
        p25=p25,
        p50=p50,
        p75=p75,
        p90=p90,
    )


def _slowest(connection: Connection, provider: str) -> list[SlowRepository]:
    table = Repository
    mean = table.seconds / table.ready
    query = select(table).where(table.ready >= _ENOUGH)
    if provider:
        query = query.where(table.provider == provider)
    rows = connection.execute(query.order_by(mean.desc(), table.id).limit(_MOST_REPOSITORIES))
    return [
        SlowRepository(
            provider=row.provider,
            repository=row.address,
            launches=row.launches,
            ready=row.ready,
            failed=row.failed,
            seconds=round(row.seconds / row.ready, 3),
            pulled=round(row.pulled / row.launches, 3),
        )
        for row in rows
    ]


def popular(connection: Connection, *, limit: int, now: float) -> list[Popular]:
    """Return the images that are most worth having on every node."""
    query = (
        select(ImageTotal.__table__, Repository.provider, Repository.address)
        .join(Repository, Repository.id == ImageTotal.repository_id)
        .where(ImageTotal.worth > 0)
        .order_by(ImageTotal.worth.desc(), ImageTotal.key.desc())
        .limit(limit)
    )
    present = weight(now)
    return [
        Popular(
            image=row.image,
            provider=row.provider,
            repository=row.address,
            ref=row.ref,
            commit=row.commit,
            host=row.host,
            launches=row.launches,
            seconds=round(row.pulled / row.pulls, 3),
            score=round(row.worth / present, 3),
        )
        for row in connection.execute(query)
    ]


def _filters(table: type[PhaseCount | OutcomeCount], provider: str, host: str) -> list[Any]:
    wanted = [table.provider == provider] if provider else []
    return [*wanted, table.host == host] if host else wanted


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY, UTC).date().isoformat()
