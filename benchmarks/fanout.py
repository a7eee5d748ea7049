"""Fan-out: what a delivered event costs a server, and how late it is, ours and its peers.

Each server sends the same events to the same number of viewers, a few times, taking turns. CPU is
the operating system's count for the server's process; of nginx, its worker's.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from .load import Reading, load
from .servers import SERVERS, running
from .servers.running import present


def measure(
    name: str, *, viewers: int, rates: Sequence[float], seconds: float
) -> dict[float, dict[str, Any]]:
    """Return what one server took, for each rate; one after the other, with the same viewers."""
    found = {}
    with running(name) as server, load() as watching:
        watching.connect(server.port, server.paths * viewers)
        wanted = 0
        for rate in rates:
            count = max(int(rate * seconds), 1)
            wanted += count
            before = server.cpu()
            watching.begin(wanted)
            server.send(rate=rate, count=count)
            reading = watching.end()
            server.sent()
            found[rate] = _row(reading, server.cpu() - before, viewers * count)
    return found


def _row(reading: Reading, cpu: float, wanted: int) -> dict[str, Any]:
    return {
        "cpu_us_per_event": cpu / max(reading.delivered, 1) * 1e6,
        "delivered": reading.delivered,
        "lost": wanted - reading.delivered,
        "complete": reading.complete,
        "bytes_per_event": reading.bytes / max(reading.delivered, 1),
        "server_load": cpu / reading.seconds,
        "viewers_load": reading.cpu / reading.seconds,
        **reading.latency(),
    }


def compare(
    *, viewers: int, rates: Sequence[float], seconds: float, repeat: int, names: Sequence[str] = ()
) -> dict[str, Any]:
    """Measure all servers and return medians, the spread of CPU, and ratios to ours."""
    chosen = present(names or list(SERVERS))
    runs: dict[str, list[dict[float, dict[str, Any]]]] = {name: [] for name in chosen}
    for _ in range(repeat):
        for name in chosen:
            runs[name].append(measure(name, viewers=viewers, rates=rates, seconds=seconds))
    result: dict[str, Any] = {"viewers": viewers, "seconds": seconds, "repeat": repeat, "rates": {}}
    for rate in rates:
        rows = {name: _summary([run[rate] for run in runs[name]]) for name in chosen}
        ours = rows.get("binderprogress")
        for row in rows.values():
            # Few events take less time than the system counts in.
            if ours is not None and ours["cpu_us_per_event"]:
                row["cpu_to_ours"] = row["cpu_us_per_event"] / ours["cpu_us_per_event"]
        result["rates"][f"{rate:g}"] = rows
    return result


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    costs = [run["cpu_us_per_event"] for run in runs]
    summary = {key: median(run[key] for run in runs) for key in runs[0]}
    # Of what must not happen at all, the median says nothing.
    worst = {"lost": max(run["lost"] for run in runs), "complete": min(r["complete"] for r in runs)}
    return {**summary, **worst, "cpu_lowest": min(costs), "cpu_highest": max(costs)}


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    titles = (
        "events/s|server|CPU per event (lowest–highest)|to ours|p50|p99|viewers with all events"
    )
    lines = [f"|{titles}|", "|---:|---|---:|---:|---:|---:|---:|"]
    for rate, rows in result["rates"].items():
        for name, row in rows.items():
            spread = f"{row['cpu_lowest']:.1f}–{row['cpu_highest']:.1f}"
            cells = [
                rate,
                name,
                f"{row['cpu_us_per_event']:.1f} µs ({spread})",
                f"{row.get('cpu_to_ours', 0):.2f}",
                f"{row['p50_ms']:.1f} ms",
                f"{row['p99_ms']:.1f} ms",
                f"{row['complete']:g} of {result['viewers']}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    head = f"Fan-out: {result['viewers']} viewers, {result['seconds']:g} s, median of "
    return f"{head}{result['repeat']}\n\n" + "\n".join(lines) + "\n"
