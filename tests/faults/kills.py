"""Kills servers again and again while launches run, and checks what every viewer saw.

The servers are real processes with the real launcher of JupyterHub and the local engine, whose
environment exists. JupyterHub is the strict double of `tests.support.lastinghub`, because no
machine of a developer starts hundreds of Jupyter servers.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from ..support.lastinghub import lasting_hub
from ..support.packages import uv_cache
from .load import Load
from .replica import Replica, port_is_back, prepare, serving

__all__ = ["Figures", "Options", "run"]


@dataclass(frozen=True)
class Options:
    """What is done.

    Attributes
    ----------
    launches, viewers : int
        How many run at a time, and how many watch them in all.
    times : int
        How often a server is killed.
    pace : float
        Seconds between launches that end and are replaced.
    """

    launches: int
    viewers: int
    times: int
    pace: float = 0.1


@dataclass
class Figures:
    """What came of it.

    Attributes
    ----------
    start : list of float
        For each kill, seconds until the port was back.
    cpu : list of (float, float)
        For each kill, seconds of processor time that the next server had used when its port was
        back, and when the last viewer was answered.
    resumed : list of list of float
        For each kill, seconds from then until each viewer was answered again.
    """

    launches: int = 0
    spawns: int = 0
    events: int = 0
    seconds: float = 0.0
    start: list[float] = field(default_factory=list)
    cpu: list[tuple[float, float]] = field(default_factory=list)
    resumed: list[list[float]] = field(default_factory=list)

    def table(self) -> str:
        """Return a table for people."""
        resumed = sorted(each for one in self.resumed for each in one)
        rows = [
            ("launches, all ready", f"{self.launches:,}"),
            ("servers that were started", f"{self.spawns:,}"),
            ("events that viewers got", f"{self.events:,}"),
            ("kills", str(len(self.resumed))),
            ("viewers that lost their connection", f"{len(resumed):,}"),
            ("until the port was back, median", _seconds(self.start)),
            (
                "… processor time of the server",
                f"{statistics.median(a for a, _ in self.cpu):.2f} s",
            ),
            ("then until a viewer was answered, median", _seconds(resumed)),
            ("… 99th percentile", f"{resumed[int(len(resumed) * 0.99)]:.2f} s"),
            ("… longest", f"{resumed[-1]:.2f} s"),
            ("… processor time until all were", _seconds([b - a for a, b in self.cpu])),
            ("lost, duplicated, second spawns, left over", "0"),
            ("time in all", f"{self.seconds:.0f} s"),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value:>8}" for name, value in rows)


def _seconds(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} s"


async def run(options: Options, folder: Path) -> Figures:
    """Do it.

    Raises
    ------
    AssertionError
        If something was lost, duplicated, or left behind.
    """
    began, figures = monotonic(), Figures()
    storage = f"sqlite:///{folder}/launches.sqlite"
    spec = prepare(folder)
    settings = {"Storage__url": storage, "LaunchManager__max_launches": 2 * options.launches}
    async with lasting_hub() as hub, serving(folder, hub, **settings) as replica:
        load = Load(
            hub,
            replica.url,
            spec,
            launches=options.launches,
            viewers=options.viewers // options.launches,
        )
        try:
            await load.build()
            await load.fill()
            async with load.kept(pace=options.pace):
                for _ in range(options.times):
                    # At any moment.
                    await asyncio.sleep(random.uniform(0.5, 2.0))  # noqa: S311 - no secret
                    await _kill(replica, load, figures)
            await load.finish()
            assert await replica.stop() == 0
        finally:
            await load.close()
        await load.check(storage, [replica])
        load.all_ready()
    figures.launches, figures.spawns = len(load.launched), hub.spawns
    figures.events = sum(
        len(each.events) for one in load.launched for view in one.views for each in view.connections
    )
    figures.seconds = monotonic() - began
    return figures


async def _kill(replica: Replica, load: Load, figures: Figures) -> None:
    """Kill a server, start the next one, and wait until all viewers are there again."""
    await load.connected()
    load.resumed = []
    async with load.quiet():
        await replica.kill()
    killed = load.since = monotonic()
    replica.start()
    load.since = await port_is_back(replica.port)
    figures.start.append(load.since - killed)
    used = replica.cpu
    await load.connected()
    figures.cpu.append((used, replica.cpu))
    figures.resumed.append(load.resumed)


def main() -> None:
    """Run what the command line says, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kills", description=__doc__)
    parser.add_argument("--launches", type=int, default=200, help="at a time (default: 200)")
    parser.add_argument("--viewers", type=int, default=1000, help="in all (default: 1000)")
    parser.add_argument("--times", type=int, default=20, help="kills (default: 20)")
    arguments = parser.parse_args()
    os.environ["UV_CACHE_DIR"] = str(uv_cache())
    options = Options(arguments.launches, arguments.viewers, arguments.times)
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        print(asyncio.run(run(options, Path(folder))).table())


if __name__ == "__main__":
    main()
