"""Late joiners: many viewers at once come to a long build, while others watch it.

The peer is Tornado's handler of static files, with a file of exactly what the stream has sent so
far, read by as many clients at once in the same way.
"""

from __future__ import annotations

import http.client
import tempfile
from pathlib import Path
from typing import Any

from .load import Reading, load
from .servers import running
from .servers.payload import MARK
from .servers.running import Running

_NEWEST = "?after=999999999999"


def measure_ours(*, joiners: int, lines: int, live: int, rate: float, file: Path) -> dict[str, Any]:
    """Measure the server; what a viewer gets is kept in `file`."""
    with running("binderprogress") as server, load() as joining, load() as watching:
        path = server.paths[0]
        server.send(rate=0, count=lines)
        server.sent()
        file.write_bytes(_body(server, path, lines))
        watching.connect(server.port, [path + _NEWEST] * live, ask_every=1, first=lines)
        # More than enough; it ends with the server.
        server.send(rate=rate, count=int(rate * 600))
        watching.begin(lines + 1)
        first = watching.end()
        watching.begin(10**9, timeout=600)
        before = server.cpu()
        joined = joining.join(server.port, [path] * joiners, lines)
        cpu = server.cpu() - before
        watched = watching.stop()
        # Where few join few lines, nothing else may have come meanwhile.
        watched.latencies += first.latencies
    return {**_row(joined, cpu), "live": {**watched.latency(), "broken": watched.broken}}


def measure_static(*, joiners: int, lines: int, file: Path) -> dict[str, Any]:
    """Measure Tornado serving a file."""
    with running("tornado", folder=str(file.parent)) as server, load() as joining:
        path = f"/static/{file.name}"
        # The first one has it read and summed up for its ETag.
        joining.join(server.port, [path], lines)
        joining.close()
        before = server.cpu()
        joined = joining.join(server.port, [path] * joiners, lines)
        return _row(joined, server.cpu() - before)


def _row(joined: Reading, cpu: float) -> dict[str, Any]:
    return {
        "complete": joined.complete,
        "seconds": joined.seconds,
        "bytes": joined.bytes,
        # The operating system counts in hundredths of a second.
        "bytes_per_cpu_second": joined.bytes / max(cpu, 0.01),
        "server_load": cpu / joined.seconds,
        "viewers_load": joined.cpu / joined.seconds,
    }


def _body(server: Running, path: str, lines: int) -> bytes:
    """Return what the stream holds so far, as a file would."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", path)
    with connection.getresponse() as response:
        parts, missing = [], lines
        while missing:
            block = response.readline()
            missing -= block.count(MARK)
            parts.append(block)
        parts.append(response.readline())
    connection.close()
    return b"".join(parts)


def compare(
    *, joiners: int = 100, lines: int = 50_000, live: int = 20, rate: float = 20
) -> dict[str, Any]:
    """Measure both, and their ratio."""
    load = {"joiners": joiners, "lines": lines, "live_viewers": live, "live_rate": rate}
    with tempfile.TemporaryDirectory(prefix="binderprogress-late-") as folder:
        file = Path(folder) / "stream"
        ours = measure_ours(joiners=joiners, lines=lines, live=live, rate=rate, file=file)
        peer = measure_static(joiners=joiners, lines=lines, file=file)
        size = file.stat().st_size
    ratio = ours["bytes_per_cpu_second"] / peer["bytes_per_cpu_second"]
    return {**load, "bytes": size, "binderprogress": ours, "static": peer, "ratio": ratio}


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    size = f"{result['lines']:,} lines ({result['bytes'] / 1e6:.1f} MB)"
    lines = [
        f"Late joiners: {result['joiners']} at once, to a build of {size}",
        "",
        "|server|complete|MB per second of CPU|took|",
        "|---|---:|---:|---:|",
    ]
    for name, label in (("binderprogress", "binderprogress"), ("static", "Tornado, a static file")):
        row = result[name]
        lines.append(
            f"| {label} | {row['complete']} of {result['joiners']} "
            f"| {row['bytes_per_cpu_second'] / 1e6:.0f} | {row['seconds']:.1f} s |"
        )
    live = result["binderprogress"]["live"]
    end = (
        f"{result['ratio']:.2f} of the static file's bytes per second of CPU. Meanwhile, "
        f"{result['live_viewers']} live viewers: p50 {live['p50_ms']:.1f} ms, "
        f"p99 {live['p99_ms']:.1f} ms."
    )
    return "\n".join([*lines, "", end]) + "\n"
