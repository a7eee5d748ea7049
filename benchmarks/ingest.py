"""What a line of a build costs, from the pipe of a process to an event in a channel."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from binderprogress.core.estimate import TYPICAL
from binderprogress.core.knowledge import Expectation, Place
from binderprogress.core.phases import Phase
from binderprogress.core.specs import Spec, parse
from binderprogress.launches.build import Build
from binderprogress.launches.writer import Clock, Limits
from binderprogress.sources.base import Built, Record, Target
from binderprogress.sources.process import Process, check_exit

__all__ = ["compare", "table"]

_STEPS = 50
_NAP = 0.001
"""Seconds; what it takes longer is the wait for a turn."""


class _Printing:
    """A builder whose process prints a file as fast as it can."""

    typical: Mapping[Phase, float] = TYPICAL

    def __init__(self, path: Path) -> None:
        self._path = path

    async def resolve(self, spec: Spec) -> Target:
        return Target(spec, "0" * 40)

    async def build(self, target: Target) -> AsyncGenerator[Record | Built, None]:
        async with Process(["cat", str(self._path)]) as process:
            async for line in process.lines():
                yield Record("repo2docker", line)
            check_exit(await process.wait())
        yield Built("image")


def compare(*, lines: int) -> dict[str, Any]:
    """Send the same lines through a build, and through as little as can be done with them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "lines").write_text("".join(_line(number, lines) for number in range(lines)))
        return {
            "lines": lines,
            "ours": asyncio.run(_measured(_ours(folder), lines)),
            "plain": asyncio.run(_measured(_plain(folder), lines)),
        }


def _line(number: int, lines: int) -> str:
    message = f"Collecting package-{number} (from -r requirements.txt (line {number % 300}))\n"
    part = max(lines // _STEPS, 1)
    if number % part == 0:
        step = min(number // part + 1, _STEPS)
        message = f"STEP {step}/{_STEPS}: RUN command {number}\n"
    return json.dumps({"message": message, "phase": "building"}) + "\n"


async def _ours(folder: Path) -> int:
    builder = _Printing(folder / "lines")
    build = Build(
        await builder.resolve(parse("gh/a/b/HEAD")),
        builder,
        expectation=Expectation(None, Place(), dict(TYPICAL)),
        clock=Clock(),
        limits=Limits(lines=10**9, log=2**40, full_log=2**40),
        timeout=600,
        log_path=folder / "log",
        log=logging.getLogger("benchmarks"),
    )
    await build.result()
    build.forget()
    # Beside the lines: that it looks for the environment, and that it has made it.
    return build.channel.last - build.channel.first - 1


async def _plain(folder: Path) -> int:
    process = await asyncio.create_subprocess_exec(
        "cat", str(folder / "lines"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    events: list[bytes] = []
    with (folder / "plain").open("w") as log:
        async for line in process.stdout:
            record = json.loads(line)
            log.write(record["message"])
            events.append(json.dumps({"id": len(events), **record}).encode())
    await process.wait()
    return len(events)


async def _measured(work: Any, lines: int) -> dict[str, float]:
    longest = 0.0

    async def neighbour() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_NAP)
            longest = max(longest, time.perf_counter() - before - _NAP)

    gc.freeze()  # as a server does when it has started
    task = asyncio.create_task(neighbour())
    began, cpu = time.perf_counter(), time.process_time()
    done = await work
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert done == lines, (done, lines)
    return {
        "per_second": round(lines / seconds),
        "cpu_us": round(cpu / lines * 1e6, 2),
        "longest_wait_ms": round(longest * 1000, 1),
    }


def table(found: dict[str, Any]) -> str:
    """Return it for people."""
    rows = [
        f"{name:>22}  {one['per_second']:>8,} lines/s  {one['cpu_us']:>6.1f} µs of CPU a line"
        f"  {one['longest_wait_ms']:>6.1f} ms longest wait of others"
        for name, one in (("ours", found["ours"]), ("asyncio and json only", found["plain"]))
    ]
    ratio = found["ours"]["cpu_us"] / found["plain"]["cpu_us"]
    return "\n".join([f"ingest, {found['lines']:,} lines", *rows, f"{ratio:>22.2f}  CPU ratio"])
