"""Latency in front of a BinderHub, against the same stream read from it directly.

A double sends lines of a build that say when they were sent, as fast as a build prints. One client
reads them from it, another by way of the server, both in the same run, over loopback.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median
from typing import Any

import aiohttp
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from binderprogress.core.timing.recent import quantile

SPEC = "gh/ada/penguins/HEAD"
LINE = "Collecting a-package-with-an-ordinary-name==1.2.3 (from requirements.txt line 7)"
_SERVE = "from binderprogress.cli.app import main; main()"


class _Build(RequestHandler):
    async def get(self) -> None:
        rate, seconds = self.settings["rate"], self.settings["seconds"]
        self.set_header("Content-Type", "text/event-stream")
        began = time.monotonic()
        try:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(max(began + number / rate - time.monotonic(), 0))
                message = f"{time.monotonic()} {number} {LINE}\n"
                await self._send({"phase": "building", "message": message})
            await self._send({"phase": "failed"})
        except StreamClosedError:
            return

    async def _send(self, event: dict[str, Any]) -> None:
        self.write(f"data: {json.dumps(event)}\n\n")
        await self.flush()


class _Health(RequestHandler):
    def get(self) -> None:
        self.write({"ok": True, "checks": []})


async def serve(rate: float, seconds: float) -> None:
    """Be the BinderHub, on a free port, until standard input ends."""
    app = Application([("/build/.*", _Build), ("/health", _Health)], rate=rate, seconds=seconds)
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(app).add_sockets(sockets)
    print(f"http://127.0.0.1:{sockets[0].getsockname()[1]}/", flush=True)
    await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def _process(*arguments: str) -> AsyncIterator[str]:
    """Run a program whose first line ends with its address."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().split()[-1]
    finally:
        process.kill()
        await process.wait()


async def _latencies(session: aiohttp.ClientSession, url: str) -> list[float]:
    """Read a stream to its end; return the seconds from each line's sending to its arrival."""
    found = []
    async with session.get(f"{url}build/{SPEC}") as response:
        async for line in response.content:
            now = time.monotonic()
            if not line.startswith(b"data: "):
                continue
            event = json.loads(line[6:])
            stamp, _, _ = event.get("message", "").partition(" ")
            if event["phase"] == "failed":
                break
            if LINE in event.get("message", ""):
                found.append(now - float(stamp))
    return found


async def measure(*, rate: int, seconds: float) -> dict[str, dict[str, float]]:
    """Measure both at the same time, and what is added."""
    async with (
        _process("-m", "benchmarks.proxy", str(rate), str(seconds)) as hub,
        _process("-c", _SERVE, "serve", "--port=0", f"--upstream={hub}") as front,
        aiohttp.ClientSession(headers={"Accept": "text/event-stream"}) as session,
    ):
        direct, proxied = await asyncio.gather(_latencies(session, hub), _latencies(session, front))
    wanted = int(rate * seconds)
    if not len(direct) == len(proxied) == wanted:
        raise RuntimeError(f"{len(direct)} and {len(proxied)} of {wanted} lines arrived")
    ways = {"direct": _quantiles(direct), "proxy": _quantiles(proxied)}
    added = {name: ways["proxy"][name] - value for name, value in ways["direct"].items()}
    return {**ways, "added": added}


def compare(*, rate: int, seconds: float, repeat: int) -> dict[str, Any]:
    """Return the medians of several measurements."""
    runs = [asyncio.run(measure(rate=rate, seconds=seconds)) for _ in range(repeat)]
    ways = {
        way: {name: median(run[way][name] for run in runs) for name in quantiles}
        for way, quantiles in runs[0].items()
    }
    return {"rate": rate, "seconds": seconds, "repeat": repeat, **ways}


def _quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(value * 1000 for value in values)
    return {f"p{percent}_ms": quantile(ordered, percent / 100) or 0.0 for percent in (50, 99)}


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    load = f"{result['rate']} events/s for {result['seconds']:g} s, median of {result['repeat']}"
    lines = [
        f"In front of a BinderHub: latency of {load}",
        "",
        "|way|p50|p99|",
        "|---|---:|---:|",
    ]
    for way, label in (("direct", "direct"), ("proxy", "by binderprogress"), ("added", "added")):
        values = result[way]
        lines.append(f"| {label} | {values['p50_ms']:.2f} ms | {values['p99_ms']:.2f} ms |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), float(sys.argv[2])))
