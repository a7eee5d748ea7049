"""All sums in the database: written, and read for pages."""

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
"""Over more, phases are told by the week: a picture has no room for more."""
_ORDER = (Phase.WAITING, Phase.FETCHING, Phase.BUILDING, Phase.PUSHING, Phase.LAUNCHING, TOTAL)

# -- writing


def add_repositories(connection: Connection, sums: Sums) -> None:
    """Add to the sums of repositories."""
    count_up(connection, Repository, ("key",), _REPOSITORY_SUMS, [*sums.repositories.values()])


def add_counts(connection: Connection, sums: Sums, ids: Mapping[str, int]) -> None:
    """Add to all other sums and counts; `ids` are those of the repositories, by their keys."""
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
    periods.forget_all(connection)
    connection.execute(delete(ImageTotal))
    connection.execute(update(Repository).values(dict.fromkeys(_REPOSITORY_SUMS, 0)))


# -- reading


def stats(
    connection: Connection, *, days: int, now: float, provider: str | None, host: str | None
) -> Stats:
    """Say where the time went in the last days."""
    first = int(now // DAY) - days + 1
    of = (ALL if provider is None else provider, ALL if host is None else host)
    ended = periods.read_ended(connection, *of, first)
    return Stats(
        days=[_day(day, one) for day, one in ended],
        phases=_phases(connection, *of, first, weeks=days > _MOST_DAYS),
        reasons=_reasons(one for _, one in ended),
        repositories=_slowest(connection, provider),
    )


def _day(day: int, ended: Ended) -> Day:
    return Day(
        day=_date(day),
        cold=ended.get(Phase.READY, {}).get(COLD, 0),
        **{outcome: sum(reasons.values()) for outcome, reasons in ended.items()},
    )


def _reasons(ended: Iterable[Ended]) -> list[ReasonCount]:
    found = [
        ReasonCount(outcome=Phase(outcome), reason=reason, launches=launches)
        for outcome, reasons in add_ended(ended).items()
        if outcome != Phase.READY
        for reason, launches in reasons.items()
    ]
    return sorted(found, key=lambda one: (-one.launches, one.outcome, one.reason))[:_MOST_REASONS]


def _phases(
    connection: Connection, provider: str, host: str, first: int, *, weeks: bool
) -> list[Distribution]:
    found, whole = periods.read_phases(connection, provider, host, first, weeks=weeks)
    by_time = [("", whole), *((_date(day), phases) for day, phases in found)]
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


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY, UTC).date().isoformat()
