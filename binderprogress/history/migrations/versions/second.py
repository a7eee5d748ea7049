"""Totals by day and by week, for each provider and host and for all, with finer histograms.

The counts of the old bins are moved to the new bins at their middles. They stay as imprecise as
they were, until all totals are recomputed from the launches.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import product
from math import ceil, log
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NAME = sa.String(255)
_MEAN = "CASE WHEN ready >= 3 THEN seconds / ready ELSE 0 END"
_ALL = "*"
_MOST_ROWS = 1000

# This script imports nothing of ours, because our code will change, and the script must not.
_Key = tuple[str, str, int, int]


def upgrade() -> None:
    """Change the tables."""
    periods = op.create_table(
        "periods",
        sa.Column("provider", _NAME, primary_key=True),
        sa.Column("host", _NAME, primary_key=True),
        sa.Column("days", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("ended", sa.Text, nullable=False),
        sa.Column("phases", sa.Text, nullable=False),
    )
    # SQLite cannot add a stored computed column, and PostgreSQL before 18 has only stored ones.
    computed = sa.Computed(_MEAN, persisted=op.get_bind().dialect.name != "sqlite")
    op.add_column("repositories", sa.Column("mean", sa.Float(53), computed, nullable=False))
    op.create_index("repositories_by_mean", "repositories", ["mean", "id"])
    op.create_index("repositories_by_provider", "repositories", ["provider", "mean", "id"])
    # Week by week, to limit the memory.
    op.create_index("phase_counts_by_day", "phase_counts", ["day"])
    connection = op.get_bind()
    first, last = connection.execute(sa.text("SELECT min(day), max(day) FROM outcome_counts")).one()
    if first is not None:
        for week in range(_monday(first), last + 1, 7):
            rows = list(_week(connection, week))
            for start in range(0, len(rows), _MOST_ROWS):
                connection.execute(sa.insert(periods), rows[start : start + _MOST_ROWS])
    op.drop_table("phase_counts")
    op.drop_table("outcome_counts")


def _week(connection: sa.Connection, week: int) -> Iterator[dict[str, Any]]:
    """Yield the rows for the days of a week, and for the week."""
    ended: defaultdict[_Key, defaultdict[str, Counter[str]]] = defaultdict(
        lambda: defaultdict(Counter)
    )
    outcomes = "SELECT provider, host, day, cold, outcome, reason, launches FROM outcome_counts"
    for provider, host, day, cold, outcome, reason, launches in _rows(connection, outcomes, week):
        why = _kind(cold) if outcome == "ready" else reason
        for key in _keys(provider, host, day):
            ended[key][outcome][why] += launches
    times: defaultdict[_Key, defaultdict[tuple[str, str], Counter[int]]] = defaultdict(
        lambda: defaultdict(Counter)
    )
    counts = "SELECT provider, host, day, cold, phase, bin, launches FROM phase_counts"
    for provider, host, day, cold, phase, number, launches in _rows(connection, counts, week):
        if provider == _ALL:
            continue
        for key in _keys(provider, host, day):
            times[key][_kind(cold), phase][number] += launches
    for key in sorted(ended):
        phases: dict[str, dict[str, Any]] = {}
        for (kind, phase), bins in times[key].items():
            phases.setdefault(kind, {})[phase] = _histogram(bins)
        yield {
            **dict(zip(("provider", "host", "days", "day"), key, strict=True)),
            "ended": json.dumps(ended[key]),
            "phases": json.dumps(phases),
        }


def _rows(connection: sa.Connection, query: str, week: int) -> Iterator[Any]:
    within = {"first": week, "last": week + 6}
    yield from connection.execute(sa.text(f"{query} WHERE day BETWEEN :first AND :last"), within)


def _keys(provider: str, host: str, day: int) -> list[_Key]:
    periods = ((1, day), (7, _monday(day)))
    return [(p, h, *of) for p, h, of in product((provider, _ALL), (host, _ALL), periods)]


def _monday(day: int) -> int:
    return day - (day + 3) % 7


def _kind(cold: Any) -> str:
    return "cold" if cold else "warm"


def _histogram(old: Counter[int]) -> list[Any]:
    """Return a new histogram. Four bins of the old one are a factor of two."""
    bins: Counter[int] = Counter()
    for number, launches in old.items():
        middle = 2 ** ((number + 0.5) / 4)
        bins[0 if middle <= 0.01 else min(ceil(log(middle / 0.01) / log(1.02)), 1000)] += launches
    counts = [bins[number] for number in range(min(bins), max(bins) + 1)]
    return [min(bins), counts, 2 ** (min(old) / 4), 2 ** ((max(old) + 1) / 4)]
