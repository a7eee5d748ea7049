"""Many launches at once, each with its own build and a viewer: what is lost, and how late it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .load import load
from .servers import running
from .servers.running import present

_NAMES = ["binderprogress", "sqlite", "jupyterhub", "tornado", "nchan"]


def measure(name: str, *, launches: int, rate: float, seconds: float) -> dict[str, Any]:
    """Return what one server took."""
    count = int(rate * seconds)
    with running(name, streams=launches) as server, load() as watching:
        watching.connect(server.port, server.paths, ask_every=1)
        before = server.cpu()
        watching.begin(count)
        server.send(rate=rate, count=count)
        reading = watching.end()
        server.sent()
        cpu = server.cpu() - before
    return {
        "delivered": reading.delivered,
        "lost": launches * count - reading.delivered,
        "complete": reading.complete,
        "cpu_us_per_event": cpu / max(reading.delivered, 1) * 1e6,
        "server_load": cpu / reading.seconds,
        **reading.latency(),
    }


def compare(
    *, launches: int, rate: float, seconds: float, names: Sequence[str] = ()
) -> dict[str, Any]:
    """Measure all servers."""
    load = {"launches": launches, "rate": rate, "seconds": seconds}
    chosen = present(names or _NAMES)
    return {**load, "servers": {name: measure(name, **load) for name in chosen}}


def ratio(result: dict[str, Any], name: str) -> float:
    """Return how many times the CPU of JupyterHub's own handler a server takes.

    Raises
    ------
    KeyError
        If one of them was not measured.
    """
    servers = result["servers"]
    cost: float = servers[name]["cpu_us_per_event"]
    return cost / float(servers["jupyterhub"]["cpu_us_per_event"])


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    load = f"each {result['rate']:g} events/s for {result['seconds']:g} s, with a viewer each"
    lines = [
        f"Many launches: {result['launches']}, {load}",
        "",
        "|server|lost|p50|p99|CPU per event|to jupyterhub|of one core|",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    has_peer = "jupyterhub" in result["servers"]
    lines += [
        f"| {name} | {row['lost']} | {row['p50_ms']:.1f} ms | {row['p99_ms']:.1f} ms "
        f"| {row['cpu_us_per_event']:.1f} µs | {f'{ratio(result, name):.2f}' if has_peer else ''} "
        f"| {row['server_load']:.0%} |"
        for name, row in result["servers"].items()
    ]
    return "\n".join(lines) + "\n"
