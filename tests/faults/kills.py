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
import secrets
import signal
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from ..support.lastinghub import LastingHub, lasting_hub
from ..support.nginx import nginx
from ..support.packages import uv_cache
from ..support.postgresql import running_postgresql
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
    database : str
        "sqlite" or "postgresql", which is killed once, too.
    replicas : int
        How many servers there are.
    nginx : bool
        Whether viewers reach them through nginx. Otherwise, they use the first one.
    pause : float
        Seconds for which servers are paused (SIGSTOP), in every other round; 0: they are not.
    lease_time : float
        Seconds after which a server that is silent counts as gone.
    pace : float
        Seconds between launches that end and are replaced.
    """

    launches: int
    viewers: int
    times: int
    database: str = "sqlite"
    replicas: int = 1
    nginx: bool = False
    pause: float = 0.0
    lease_time: float = 15.0
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
        For each kill, seconds until each viewer was answered again: from then, or with many
        servers from the kill.
    """

    launches: int = 0
    spawns: int = 0
    events: int = 0
    seconds: float = 0.0
    pauses: int = 0
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
            ("kills, pauses", f"{len(self.resumed)}, {self.pauses}"),
            ("viewers that lost their connection", f"{len(resumed):,}"),
            ("until the port was back, median", _seconds(self.start)),
            (
                "… processor time of the server",
                f"{statistics.median(a for a, _ in self.cpu):.2f} s",
            ),
            ("until a viewer was answered, median", _seconds(resumed)),
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
    spec = prepare(folder)
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(lasting_hub())
        storage, database = f"sqlite:///{folder}/launches.sqlite", None
        if options.database == "postgresql":
            database = stack.enter_context(running_postgresql())
            storage = database.url
        replicas = await _replicas(stack, options, folder, hub, storage)
        url = replicas[0].url
        if options.nginx:
            ports = [replica.port for replica in replicas]
            url = stack.enter_context(nginx(folder / "nginx", ports))
        each = options.viewers // options.launches
        load = Load(hub, url, spec, launches=options.launches, viewers=each)
        stack.push_async_callback(load.close)
        await load.build()
        await load.fill()
        async with load.kept(pace=options.pace):
            for number in range(options.times):
                # At any moment.
                await asyncio.sleep(random.uniform(0.5, 2.0))  # noqa: S311 - no secret
                await _round(number, options, replicas, load, figures)
                if database is not None and number == options.times // 2:
                    await asyncio.to_thread(database.kill)
                    await asyncio.to_thread(database.restart)
                    await load.connected()
        await load.finish()
        for replica in replicas:
            assert await replica.stop() == 0
        await load.check(storage, replicas)
        load.all_ready()
    figures.launches, figures.spawns = len(load.launched), hub.spawns
    figures.events = load.events
    figures.seconds = monotonic() - began
    return figures


async def _replicas(
    stack: AsyncExitStack, options: Options, folder: Path, hub: LastingHub, storage: str
) -> list[Replica]:
    settings: dict[str, object] = {
        "Storage__url": storage,
        "Storage__lease_time": options.lease_time,
        "LaunchManager__max_launches": 2 * options.launches,
    }
    key = {"BINDERPROGRESS_CRYPT_KEY": secrets.token_hex(32)}
    return [
        await stack.enter_async_context(
            serving(folder, hub, f"replica-{number}", variables=key, **settings)
        )
        for number in range(options.replicas)
    ]


async def _round(
    number: int, options: Options, replicas: list[Replica], load: Load, figures: Figures
) -> None:
    """Kill one of the servers, or pause it, and wait until all viewers are there again."""
    replica = replicas[number % len(replicas)]
    await load.connected()
    if options.pause and number // len(replicas) % 2:
        # What it would be asked for meanwhile, it would do when it wakes up.
        async with load.quiet():
            replica.pause()
            await asyncio.sleep(options.pause)
            replica.resume()
        await load.connected()
        figures.pauses += 1
        return
    load.resumed = []
    async with load.quiet():
        await replica.kill()
    killed = load.since = monotonic()
    replica.start()
    back = await port_is_back(replica.port)
    if len(replicas) == 1:
        # Others answer at once.
        load.since = back
    figures.start.append(back - killed)
    used = replica.cpu
    await load.connected()
    figures.cpu.append((used, replica.cpu))
    # Not those who reconnect later, such as after a pause.
    figures.resumed.append(list(load.resumed))


def main() -> None:
    """Run what the command line says, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kills", description=__doc__)
    parser.add_argument("--launches", type=int, default=200, help="at a time (default: 200)")
    parser.add_argument("--viewers", type=int, default=1000, help="in all (default: 1000)")
    parser.add_argument("--times", type=int, default=20, help="kills (default: 20)")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--replicas", type=int, default=1, help="servers (default: 1)")
    parser.add_argument("--nginx", action="store_true", help="in front of the servers")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds of every other round")
    os.environ["UV_CACHE_DIR"] = str(uv_cache())
    options = Options(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        try:
            print(asyncio.run(_run_until_signal(options, Path(folder))).table())
        except asyncio.CancelledError:
            sys.exit("Stopped.")


async def _run_until_signal(options: Options, folder: Path) -> Figures:
    """Run it. On Ctrl-C and SIGTERM, end what it has started; a second one ends it at once.

    Programs that a shell starts in the background ignore SIGINT unless they handle it.
    """
    running, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert running is not None

    def stop() -> None:
        running.cancel()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return await run(options, folder)


if __name__ == "__main__":
    main()
