"""The history with many launches: in SQLite, and in PostgreSQL where that is installed.

Launches are made up by a seeded generator: 400 days, a few popular repositories and many that are
launched once, phases with log-normal times, failures, pulls. All but the newest are loaded into the
tables, and their sums made by a rebuild; the newest 20,000 (half of them, if there are fewer) are
written in batches as the server does where many wait. Then the database is opened anew, and each
question is asked several times, those of the page over HTTP. It prints medians, and the first time
apart. The server keeps no answers: each is made when it is asked for.

The peer is to count when asked: medians of 30 days from the launches themselves, read and sorted,
which is what a history without sums has to do.
"""

from __future__ import annotations

import logging
import random
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from sqlalchemy import insert, text

from binderprogress.core.phases import Phase
from binderprogress.core.timing.spans import PastLaunch, Span
from binderprogress.history.batch_writer import BATCH
from binderprogress.history.database import Database, key_of, row_of
from binderprogress.history.models import LaunchRow, Repository
from tests.support.postgresql import postgresql, programs
from tests.support.replay import stage

LOG = logging.getLogger(__name__)
NOON = 1_795_435_200.0
DAYS = 400
BULK = 10_000
SAMPLE = 20_000
"""As many of the newest are written as the server does it, and measured."""
ESTIMATOR = 20_000
"""As many of the newest an estimator learns from when a server starts."""
TIMES = 7
BYTES = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    "postgresql": "SELECT pg_database_size(current_database())",
}
STATS = {
    "stats_7": "days=7",
    "stats_30": "days=30",
    "stats_90": "days=90",
    "stats_366": "days=366",
    "stats_90_of": "days=90&provider=gh&host=here",
    "stats_366_of": "days=366&provider=gh&host=here",
}


def launches(count: int, *, seed: int = 1, now: float = NOON) -> Iterator[PastLaunch]:
    """Yield launches, the oldest first; the last one began just before now."""
    chance = random.Random(seed)  # noqa: S311 - the same each time
    repositories = max(count // 20, 10)
    for number in range(count):
        # Few are launched most of the time: a power law, by its inverse.
        popular = int(repositories ** chance.random())
        cold = chance.random() < 0.2
        spans = list(_spans(chance, popular, cold=cold))
        outcome = chance.choices([Phase.READY, Phase.FAILED, Phase.CANCELLED], [90, 7, 3])[0]
        yield PastLaunch(
            began=now - DAYS * 86_400 * (1 - number / count),
            provider=chance.choices(["gh", "gl", "git"], [85, 10, 5])[0],
            repository=f"https://git.example.org/user-{popular % 997}/repository-{popular}",
            ref="HEAD",
            commit=f"{popular:040x}",
            host=chance.choice(["", "a.example.org", "b.example.org"]),
            image=f"registry.example.org/r-{popular}:{popular:012x}",
            outcome=outcome,
            reason={Phase.FAILED: "build-failed", Phase.CANCELLED: "abandoned"}.get(outcome, ""),
            cold=cold,
            joined=chance.random() < 0.05,
            spans=spans,
        )


def _spans(chance: random.Random, popular: int, *, cold: bool) -> Iterator[Span]:
    end = 0.0

    def span(phase: Phase, median: float, step: str = "", index: int = 0) -> Span:
        nonlocal end
        begin, end = end, round(end + chance.lognormvariate(0, 0.7) * median, 3)
        digest = f"{popular * 31 + index:016x}" if index else ""
        return Span(phase, begin, end, step, step.title(), index, 8 if index else 0, digest)

    yield span(Phase.WAITING, 0.5, "resolving")
    if cold:
        yield span(Phase.FETCHING, 4.0, "cloning")
        for index in range(1, 9):
            yield span(Phase.BUILDING, 1.0 + 20.0 * (index == 6), "step", index)
        yield span(Phase.PUSHING, 15.0, "pushing")
    yield span(Phase.LAUNCHING, 1.0, "requested")
    if chance.random() < 0.4:
        yield span(Phase.LAUNCHING, 12.0, "pulling")
    yield span(Phase.LAUNCHING, 5.0, "starting")


def compare(*, count: int, url: str) -> dict[str, Any]:
    """Measure all databases that are there, or the one that is named."""
    found: dict[str, Any] = {"launches": count}
    if url not in {"", "sqlite", "postgresql"}:
        return {**found, "named": measure(url, count)}
    if url != "postgresql":
        with tempfile.TemporaryDirectory() as folder:
            found["sqlite"] = measure(f"sqlite:///{folder}/history.sqlite", count)
    if url != "sqlite" and programs() is not None:
        with postgresql() as there:
            found["postgresql"] = measure(there, count)
    return found


def measure(url: str, count: int) -> dict[str, Any]:
    """Fill an empty database, and ask."""
    database = Database(url, log=LOG)
    if database.recent(1):
        raise SystemExit("That database has launches in it; name an empty one.")
    # What the server calls the last days ends with today.
    now = time.time()
    made = launches(count, now=now)
    sample = min(SAMPLE, count // 2)
    _load(database, islice(made, count - sample))
    result = {"rebuild_per_s": (count - sample) / _seconds(database.rebuild)}
    result["insert_per_s"] = sample / _write(database, made)
    if database.engine.dialect.name == "postgresql":
        # What its own housekeeping does within the minute.
        with database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(
                text("VACUUM ANALYZE")
            )
    result["add_one_ms"] = _median(lambda: database.write(launches(1, seed=2, now=now)))[1]
    database.close()
    database = Database(url, log=LOG)
    popular = next(launches(1)).repository
    with stage() as server:
        server.launches.history = database
        api = f"{server.url}api/"
        questions: dict[str, Callable[[], Any]] = {
            "recent": lambda: database.recent(ESTIMATOR),
            "of": lambda: database.of(popular, 20),
            **{name: partial(_get, f"{api}stats?{query}") for name, query in STATS.items()},
            "popular": partial(_get, f"{api}popular"),
        }
        for name, ask in questions.items():
            result[f"{name}_first_ms"], result[f"{name}_ms"] = _median(ask)
    with database.engine.connect() as connection:
        if size := BYTES.get(connection.dialect.name):
            result["megabytes"] = connection.scalar(text(size)) / 1e6
    result["peer_stats_30_ms"] = _seconds(lambda: _counted_when_asked(database, count)) * 1000
    database.close()
    return result


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - of the server here
        body: bytes = answer.read()
    return body


def _load(database: Database, made: Iterator[PastLaunch]) -> None:
    """Put launches into the tables, without what they add to the sums."""
    ids: dict[str, int] = {}
    nothing = dict.fromkeys(("launches", "ready", "failed", "seconds", "pulled", "weight"), 0)
    while batch := [(key_of(past.repository), past) for past in islice(made, BULK)]:
        new = {
            key: {"key": key, "provider": past.provider, "address": past.repository, **nothing}
            for key, past in batch
            if key not in ids
        }
        with database.engine.execution_options(writes=True).begin() as connection:
            if new:
                query = insert(Repository).returning(Repository.key, Repository.id)
                found = connection.execute(query, [*new.values()])
                ids.update((row.key, row.id) for row in found)
            rows = [{**row_of(past), "repository_id": ids[key]} for key, past in batch]
            connection.execute(insert(LaunchRow), rows)


def _write(database: Database, made: Iterator[PastLaunch]) -> float:
    """Write launches as the server does; return how long it took."""
    took = 0.0
    while batch := list(islice(made, BATCH)):
        took += _seconds(partial(database.write, batch))
    return took


def _counted_when_asked(database: Database, count: int) -> list[float]:
    """Return the median of each phase of 30 days, from the launches themselves."""
    times: dict[tuple[Phase, bool], list[float]] = {}
    # They are spread evenly.
    for past in database.recent(count * 30 // DAYS):
        if past.outcome is Phase.READY:
            for phase, seconds in past.phase_seconds().items():
                times.setdefault((phase, past.cold), []).append(seconds)
    return [statistics.median(values) for values in times.values()]


def _median(do: Callable[[], Any]) -> tuple[float, float]:
    """Return how long it takes the first time, and as a rule; in milliseconds."""
    first, *others = [_seconds(do) * 1000 for _ in range(TIMES)]
    return first, statistics.median(others)


def _seconds(do: Callable[[], Any]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


ROWS = {
    "rebuild_per_s": "launches whose sums are made anew, a second",
    "insert_per_s": f"launches written in batches of {BATCH}, a second",
    "add_one_ms": "one launch written, ms",
    "recent_ms": f"the newest {ESTIMATOR:,}, as for an estimator, ms",
    "of_ms": "20 of one repository, ms",
    **{f"{name}_ms": f"GET /api/stats?{query}, ms" for name, query in STATS.items()},
    "popular_ms": "GET /api/popular, ms",
    "peer_stats_30_ms": "peer: 30 days counted when asked, ms",
    "megabytes": "on the disk, MB",
}


def table(result: dict[str, Any]) -> str:
    """Lay out what was measured."""
    kinds = [name for name in result if name != "launches"]
    lines = [
        f"history: {result['launches']:,} launches",
        f"{'':52}" + "".join(f"{k:>22}" for k in kinds),
    ]
    for row, title in ROWS.items():
        cells = []
        for kind in kinds:
            value = result[kind].get(row)
            first = result[kind].get(row.replace("_ms", "_first_ms"))
            cell = "" if value is None else f"{value:,.1f}"
            if first is not None and value is not None and first != value:
                cell += f" ({first:,.1f} first)"
            cells.append(f"{cell:>22}")
        lines.append(f"  {title:50}" + "".join(cells))
    return "\n".join(lines)
