"""Replicas: events of launches that one server runs, as viewers at the other server get them.

Two servers share a real PostgreSQL. Each runs half of the launches, and each launch has a viewer at
the other server. All processes share the cores of this machine, so how many events a second it
carries says as much of the machine as of the servers; where the CPU goes says what limits it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any

from tests.support.postgresql import PostgreSQL, programs, running_postgresql

from .load import Load, load
from .servers import running
from .servers.running import ANY, Running

_PROCESSES = ("server", "other server", "PostgreSQL", "viewers")


def _measure(
    servers: Sequence[Running],
    database: PostgreSQL,
    viewers: Load,
    *,
    launches: int,
    rate: float,
    count: int,
    wanted: int,
) -> dict[str, Any]:
    """Send so many events in each launch, and return how late they were and what they cost."""

    def cpu() -> list[float]:
        return [*(server.cpu() for server in servers), database.cpu()]

    before, began = cpu(), time.monotonic()
    viewers.begin(wanted)
    for server in servers:
        server.send(rate=rate / launches, count=count)
    reading = viewers.end()
    for server in servers:
        server.sent()
    seconds = time.monotonic() - began
    used = [now - then for now, then in zip(cpu(), before, strict=True)]
    used.append(reading.cpu)
    events = max(reading.delivered, 1)
    return {
        "delivered": reading.delivered,
        "lost": launches * count - reading.delivered,
        "complete": reading.complete,
        "per_second": reading.delivered / reading.seconds,
        "cpu_us_per_event": dict(
            zip(_PROCESSES, [each / events * 1e6 for each in used], strict=True)
        ),
        "load": dict(zip(_PROCESSES, [each / seconds for each in used], strict=True)),
        **reading.latency(),
    }


def compare(*, launches: int, rates: Sequence[float], seconds: float) -> dict[str, Any]:
    """Measure each rate, one after the other, with the same launches and viewers.

    Raises
    ------
    ValueError
        If PostgreSQL is not installed.
    """
    if programs() is None:
        raise ValueError("PostgreSQL is not installed.")
    each = max(launches // 2, 1)
    keys = secrets.token_hex(32)
    found: dict[str, Any] = {"launches": 2 * each, "seconds": seconds, "rates": {}}
    with running_postgresql() as database:
        options = {"streams": each, "on": ANY, "store": database.url, "keys": keys}
        with (
            running("binderprogress", owner="ada", **options) as one,
            running("binderprogress", owner="grace", **options) as other,
            load(ANY) as viewers,
        ):
            viewers.connect(one.port, other.paths, ask_every=4)
            viewers.connect(other.port, one.paths, ask_every=4)
            wanted = 0
            for rate in rates:
                count = max(int(rate / (2 * each) * seconds), 1)
                wanted += count
                found["rates"][f"{rate:g}"] = _measure(
                    (one, other),
                    database,
                    viewers,
                    launches=2 * each,
                    rate=rate,
                    count=count,
                    wanted=wanted,
                )
    return found


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    head = (
        f"Replicas: two servers and PostgreSQL, {result['launches']} launches, each with a viewer "
        f"at the other server, for {result['seconds']:g} s"
    )
    titles = "|".join(f"{name} (of one core)" for name in _PROCESSES)
    lines = [
        head,
        "",
        f"|events/s|delivered/s|lost|p50|p99|CPU per event|{titles}|",
        "|---:" * (6 + len(_PROCESSES)) + "|",
    ]
    for rate, row in result["rates"].items():
        cells = [
            rate,
            f"{row['per_second']:,.0f}",
            f"{row['lost']}",
            f"{row['p50_ms']:.0f} ms",
            f"{row['p99_ms']:.0f} ms",
            f"{sum(row['cpu_us_per_event'].values()):.0f} µs",
            *(
                f"{row['cpu_us_per_event'][name]:.0f} µs ({row['load'][name]:.0%})"
                for name in _PROCESSES
            ),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
