"""Writes and reads the totals in the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from ..core.phases import Phase
from . import period_totals as periods
from .histogram import COLD, WARM, Ended, Histogram, add_ended
from .models import ALL, Base, ImageTotal, Repository
from .store import Day, Distribution, Popular, ReasonCount, SlowRepository, Stats
from .totals import DAY, TOTAL, Sums, weight
from .upsert import count_up

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
_SHARES = (10, 25, 50, 75, 90)
_MOST_REPOSITORIES = 20
_MOST_REASONS = 50
_MOST_DAYS = 92
"""Maximum number of days that are shown by the day. More days are shown by the week."""
_ORDER = (Phase.WAITING, Phase.FETCHING, Phase.BUILDING, Phase.PUSHING, Phase.LAUNCHING, TOTAL)

# -- writing


def add_repositories(connection: Connection, sums: Sums) -> None:
    """Add to the totals of repositories."""
    count_up(connection, Repository, ("key",), _REPOSITORY_SUMS, [*sums.repositories.values()])


def add_counts(connection: Connection, sums: Sums, ids: Mapping[str, int]) -> None:
    """Add to the totals of images and periods. `ids` are the ids of repositories by their keys."""
    images = [
        {
            **{k: v for k, v in row.items() if k != "repository"},
            "repository_id": ids[row["repository"]],
        }
        for row in sums.images.values()
    ]
    count_up(
        connection, ImageTotal, ("key",), _IMAGE_SUMS, images, newest=("ref", "commit", "last")
    )
    periods.add(connection, sums)


def take_away(connection: Connection, sums: Sums) -> None:
    """Subtract launches that are removed from the totals of repositories and images."""
    tables: list[tuple[type[Base], tuple[str, ...], Any]] = [
        (Repository, _REPOSITORY_SUMS, sums.repositories),
        (ImageTotal, _IMAGE_SUMS, sums.images),
    ]
    for table, names, rows in tables:
        if not rows:
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
                {"of": key, **{f"less_{name}": rows[key][name] for name in names}}
                for key in sorted(rows)
            ],
        )


def forget_empty(connection: Connection) -> None:
    """Remove repositories and images without launches."""
    connection.execute(delete(ImageTotal).where(ImageTotal.launches <= 0))
    connection.execute(delete(Repository).where(Repository.launches <= 0))


def forget_all(connection: Connection) -> None:
    """Reset all totals."""
    periods.forget_all(connection)
    connection.execute(delete(ImageTotal))
    connection.execute(update(Repository).values(dict.fromkeys(_REPOSITORY_SUMS, 0)))


# -- reading


def stats(
    connection: Connection, *, days: int, now: float, provider: str | None, host: str | None
) -> Stats:
    """Return statistics of the last days; see `store.HistoryStore.stats`."""
    first = int(now // DAY) - days + 1
    of = (ALL if provider is None else provider, ALL if host is None else host)
    ended = periods.read_ended(connection, *of, first)
    return Stats(
        days=[_day(day, counts) for day, counts in ended],
        phases=_phases(connection, *of, first, weeks=days > _MOST_DAYS),
        reasons=_reasons(counts for _, counts in ended),
        repositories=_slowest(connection, provider),
    )


def _day(day: int, ended: Ended) -> Day:
    return Day(
        day=_date(day),
        cold=ended.get(Phase.READY, {}).get(COLD, 0),
        **{outcome: sum(reasons.values()) for outcome, reasons in ended.items()},
    )


def _reasons(ended: Iterable[Ended]) -> list[ReasonCount]:
    counts = [
        ReasonCount(outcome=Phase(outcome), reason=reason, launches=launches)
        for outcome, reasons in add_ended(ended).items()
        if outcome != Phase.READY
        for reason, launches in reasons.items()
    ]
    counts.sort(key=lambda count: (-count.launches, count.outcome, count.reason))
    return counts[:_MOST_REASONS]


def _phases(
    connection: Connection, provider: str, host: str, first: int, *, weeks: bool
) -> list[Distribution]:
    by_day, total = periods.read_phases(connection, provider, host, first, weeks=weeks)
    by_time = [("", total), *((_date(day), phases) for day, phases in by_day)]
    return [
        _distribution(phase, date, histogram, cold=kind == COLD)
        for phase in _ORDER
        for kind in (COLD, WARM)
        for date, phases in by_time
        if (histogram := phases.get(kind, {}).get(phase))
    ]


def _distribution(phase: str, day: str, histogram: Histogram, *, cold: bool) -> Distribution:
    launches, (p10, p25, p50, p75, p90) = histogram.percentiles(_SHARES)
    return Distribution(
        phase=str(phase),
        cold=cold,
        day=day,
        launches=launches,
        p10=p10,
        p25=p25,
        p50=p50,
        p75=p75,
        p90=p90,
    )


def _slowest(connection: Connection, provider: str | None) -> list[SlowRepository]:
    mean = Repository.mean
    query = select(Repository.__table__).where(mean > 0)
    if provider is not None:
        query = query.where(Repository.provider == provider)
    rows = connection.execute(
        query.order_by(mean.desc(), Repository.id.desc()).limit(_MOST_REPOSITORIES)
    )
    return [
        SlowRepository(
            provider=row.provider,
            repository=row.address,
            launches=row.launches,
            ready=row.ready,
            failed=row.failed,
            seconds=round(row.mean, 3),
            pulled=round(row.pulled / row.launches, 3),
        )
        for row in rows
    ]


def popular(connection: Connection, *, limit: int, now: float) -> list[Popular]:
    """Return the images that are most worth pulling in advance, best first."""
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
            last=round(row.last, 3),
            seconds=round(row.pulled / row.pulls, 3),
            score=round(row.worth / present, 3),
        )
        for row in connection.execute(query)
    ]


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY, UTC).date().isoformat()
