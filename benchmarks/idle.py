"""Idle viewers: how fast so many connect, and what memory each takes, ours and its peers'.

Memory is the server's process's, as the operating system counts it: resident, and of that what no
other process shares. What the kernel keeps for a socket is in neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .load import load
from .servers import SERVERS, running
from .servers.running import open_files, present

_WARM = 100
"""Viewers that are there before counting begins: what they need first, all others use too."""


def measure(name: str, counts: Sequence[int]) -> list[dict[str, Any]]:
    """Return a row for each number of viewers; those of one row stay for the next."""
    rows = []
    with running(name) as server, load() as watching:
        path = server.paths[0]
        took = watching.connect(server.port, [path] * _WARM)
        there, before = _WARM, server.memory()
        for count in counts:
            took += watching.connect(server.port, [path] * (count - there))
            there = count
            memory = server.memory()
            each = {key: (memory[key] - before[key]) / (count - _WARM) for key in memory}
            rows.append({"viewers": count, "connect_seconds": took, "bytes_per_viewer": each})
    return rows


def compare(*, counts: Sequence[int], names: Sequence[str] = ()) -> dict[str, Any]:
    """Measure all servers."""
    counts = sorted(counts)
    if counts[0] <= _WARM:
        raise ValueError(f"More than {_WARM} viewers are needed.")
    # Each process asks for it itself; here it is only to know.
    if (allowed := open_files(1 << 20)) < counts[-1] + 100:
        raise ValueError(
            f"This user may open {allowed} files, and {counts[-1]} viewers need more: "
            "raise it with ulimit -n, or measure fewer with --viewers."
        )
    return {"servers": {name: measure(name, counts) for name in present(names or list(SERVERS))}}


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    lines = [
        "Idle viewers: memory of the server for each",
        "",
        "|viewers|server|resident|its own|all connected after|",
        "|---:|---|---:|---:|---:|",
    ]
    for name, rows in result["servers"].items():
        for row in rows:
            rss, uss = (row["bytes_per_viewer"][key] / 1024 for key in ("rss", "uss"))
            lines.append(
                f"| {row['viewers']} | {name} | {rss:.1f} KiB | {uss:.1f} KiB "
                f"| {row['connect_seconds']:.1f} s |"
            )
    return "\n".join(lines) + "\n"
