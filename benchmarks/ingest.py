"""Ingest: what a line of a build costs until it is an event that viewers can have.

The lines come from a program that prints them as fast as it can, in repo2docker's JSON, and once
more from within the process. The peer does with them what BinderHub does: a thread reads a line and
parses it, the loop takes it from a queue and parses it again.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from tornado.ioloop import IOLoop
from tornado.queues import Queue
from traitlets.config import Config

from binderprogress.backends.base import BuildResult, PairedBackend, Record, ResolvedSpec
from binderprogress.backends.repo2docker.builder import Repo2dockerBuilder
from binderprogress.channels.base import ChannelStore
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.specs import Spec, parse
from binderprogress.launches import Caller, LaunchManager

from .servers import payload
from .servers.ours import NoLauncher

_PRINT = """
import sys
sys.path.insert(0, sys.argv[2])
from benchmarks.servers.payload import record
for number in range(int(sys.argv[1])):
    sys.stdout.write(record(number, 0.0))
"""


_NAP = 0.001
"""Seconds."""


def _argv(lines: int) -> list[str]:
    # The builder runs it in a folder of its own.
    return [sys.executable, "-c", _PRINT, str(lines), str(Path(__file__).parents[1])]


class _Resolved(Repo2dockerBuilder):
    """Builds by a program of ours, without a git host."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self.lines = lines

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        return ResolvedSpec(spec, "0" * 40)

    def arguments(self, resolved: ResolvedSpec, image: str) -> list[str]:
        return _argv(self.lines)


class _Within(_Resolved):
    """Builds within this process."""

    def __init__(self, lines: int) -> None:
        super().__init__(lines)
        self._records = [payload.record(number, 0.0) for number in range(lines)]

    async def build(self, target: ResolvedSpec) -> AsyncGenerator[Record | BuildResult, None]:
        for line in self._records:
            yield Record("repo2docker", line)
        yield BuildResult("an-image")


async def _ours(builder: _Resolved, store: ChannelStore | None = None) -> int:
    limits = {"max_lines": builder.lines + 10, "max_log": 2**40, "memory_budget": 2**40}
    launches = LaunchManager(
        channels=store or MemoryChannelStore(),
        backend=PairedBackend(builder, NoLauncher()),
        config=Config(LaunchManager=limits),
    )
    over = asyncio.Event()
    launches.over.append(lambda *_: over.set())
    await launches.open()
    launch = await launches.start(parse("gh/ada/penguins/HEAD"), Caller())
    await over.wait()
    events = await launch.read(0, limit=launch.end)
    found = sum("<~" in encoded.event.message for encoded in events)
    await launches.close()
    return found


async def ingest(store: ChannelStore, lines: int) -> float:
    """Return the microseconds of CPU of a line from within, until it is stored.

    The store is opened, and closed afterwards.
    """
    builder = _Within(lines)
    cpu = time.process_time()
    found = await _ours(builder, store)
    cpu = time.process_time() - cpu
    if found != lines:
        raise RuntimeError(f"{found} of {lines} lines arrived.")
    return cpu / lines * 1e6


async def _peer(lines: int) -> int:
    """Read, parse, hand over, take, parse, as binderhub/build.py and builder.py do."""
    queue: Queue[str | None] = Queue()
    loop = IOLoop.current()

    def read() -> None:
        with subprocess.Popen(_argv(lines), stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for line in process.stdout:
                text = line.decode()
                json.loads(text)
                loop.add_callback(queue.put, text)
        loop.add_callback(queue.put, None)

    reading = asyncio.create_task(asyncio.to_thread(read))
    found = 0
    while (event := await queue.get()) is not None:
        found += "message" in json.loads(event)
    await reading
    return found


def measure(run: Callable[[], Awaitable[int]], lines: int) -> dict[str, float]:
    """Return lines a second, and microseconds of this process's CPU for a line."""

    async def main() -> dict[str, float]:
        gc.freeze()  # as a server does when it has started
        waits = [0.0]
        others = asyncio.create_task(_others(waits))
        began, cpu = time.monotonic(), time.process_time()
        found = await run()
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        others.cancel()
        if found != lines:
            raise RuntimeError(f"{found} of {lines} lines arrived.")
        return {
            "lines_per_second": lines / seconds,
            "cpu_us_per_line": cpu / lines * 1e6,
            "longest_wait_ms": max(waits) * 1000,
        }

    return asyncio.run(main())


async def _others(waits: list[float]) -> None:
    """Note how long anything else in the process has to wait for its turn."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(_NAP)
        waits[0] = max(waits[0], time.monotonic() - before - _NAP)


def compare(*, lines: int) -> dict[str, Any]:
    """Measure all ways, and the ratio of what is alike."""
    process = measure(partial(_ours, _Resolved(lines)), lines)
    within = measure(partial(_ours, _Within(lines)), lines)
    peer = measure(partial(_peer, lines), lines)
    ratio = peer["cpu_us_per_line"] / process["cpu_us_per_line"]
    ways = {"process": process, "within": within, "binderhub": peer}
    return {"lines": lines, "ways": ways, "peer_to_ours": ratio}


_LABELS = {
    "process": "binderprogress, from a program",
    "within": "binderprogress, from within",
    "binderhub": "as BinderHub, from a program",
}


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    lines = [
        f"Ingest: {result['lines']:,} lines of repo2docker",
        "",
        "|way|lines a second|CPU per line|longest wait of others|",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {_LABELS[way]} | {row['lines_per_second']:,.0f} | {row['cpu_us_per_line']:.1f} µs "
        f"| {row['longest_wait_ms']:.1f} ms |"
        for way, row in result["ways"].items()
    ]
    lines += ["", f"As BinderHub to ours: {result['peer_to_ours']:.2f}."]
    return "\n".join(lines) + "\n"
