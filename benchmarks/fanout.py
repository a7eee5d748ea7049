"""Fan-out: server CPU per delivered event, against a handler that serialises for each viewer.

The peer is written the way progress handlers usually are: each viewer's coroutine encodes the
event, writes it and flushes. Both serve the same events, in processes of their own, to the same
viewers over loopback, one after the other; CPU is the operating system's count for the server.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import psutil
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from binderprogress.channels.memory import MemoryChannel
from binderprogress.core.events import Curve, Event
from binderprogress.core.phases import Phase
from binderprogress.launches import Viewer
from binderprogress.web.streams import follow

LINE = "Collecting a-package-with-an-ordinary-name==1.2.3 (from requirements.txt line 7)\n"


def make_event(number: int) -> Event:
    return Event(
        id=number,
        phase=Phase.BUILDING,
        time=time.time(),
        elapsed=1.0,
        progress=40.0,
        curve=Curve(from_=40.0, to=60.0, tau=12.0),
        eta=30.0,
        eta_low=20.0,
        eta_high=45.0,
        step="Step 7 of 51",
        step_key="step",
        step_index=7,
        step_total=51,
        message=LINE,
    )


class _Stream:
    """As much of a launch as a viewer needs."""

    def __init__(self) -> None:
        self.channel = MemoryChannel()
        self.channel.append(make_event(1))
        self.changed = self.channel.changed
        self.watched = type(self.changed)()
        self.viewers = 0
        self.closed = False

    @property
    def last(self) -> Event:
        return self.channel.read(self.channel.last - 1, limit=1)[0].event

    def read(self, after: int, *, limit: int = 1000) -> Any:
        return self.channel.read(after, limit=limit)


class OursHandler(RequestHandler):
    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        with Viewer(self.settings["stream"], 0) as viewer:
            try:
                async for events in follow(viewer, 15):
                    self.write(b"".join([e.sse for e in events]))
                    await self.flush()
            except StreamClosedError:
                return


class PeerHandler(RequestHandler):
    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.settings["queues"].append(queue)
        try:
            while True:
                event = await queue.get()
                self.write(f"data: {json.dumps(event)}\n\n")
                await self.flush()
        except StreamClosedError:
            return


async def serve(kind: str) -> None:
    """Serve on a free port; each line on standard input says how many events a second follow."""
    stream, queues = _Stream(), []
    handler = OursHandler if kind == "ours" else PeerHandler
    app = Application([("/", handler)], stream=stream, queues=queues)
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(app).add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    rate, seconds = map(float, (await asyncio.to_thread(sys.stdin.readline)).split())
    emit = _emit_ours(stream) if kind == "ours" else _emit_peer(queues)
    began, count = time.monotonic(), int(rate * seconds)
    for number in range(count):
        emit(number)
        await asyncio.sleep(max(began + (number + 1) / rate - time.monotonic(), 0))
    await asyncio.to_thread(sys.stdin.readline)


def _emit_ours(stream: _Stream) -> Callable[[int], None]:
    return lambda number: stream.channel.append(make_event(number + 2)) and None  # type: ignore[func-returns-value]


def _emit_peer(queues: list[Any]) -> Callable[[int], None]:
    def emit(number: int) -> None:
        event = msgspec.to_builtins(make_event(number + 2))
        for queue in queues:
            queue.put_nowait(event)

    return emit


@asynccontextmanager
async def _server(kind: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.fanout", kind),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield process, int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


async def measure(kind: str, *, viewers: int, rate: int, seconds: float) -> dict[str, float]:
    """Return microseconds of the server's CPU per delivered event."""
    wanted = int(rate * seconds)
    async with _server(kind) as (process, port):
        connections = [await _connect(port) for _ in range(viewers)]
        await asyncio.sleep(0.5)  # until all handlers wait; nothing of it is measured
        server = psutil.Process(process.pid)
        before = server.cpu_times()
        assert process.stdin is not None
        process.stdin.write(f"{rate} {seconds}\n".encode())
        delivered = sum(
            await asyncio.gather(*(_count(reader, wanted, kind) for reader, _ in connections))
        )
        after = server.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    return {"cpu_us_per_event": cpu / delivered * 1e6, "delivered": delivered}


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    # The writer closes the connection when nobody holds it any more.
    return reader, writer


async def _count(reader: asyncio.StreamReader, wanted: int, kind: str) -> int:
    # Ours sends the event that was there before, too; it came before the measuring began.
    count, wanted = 0, wanted + (kind == "ours")
    mark, rest = b"data: ", b""
    async with asyncio.timeout(120):
        while count < wanted:
            chunk = await reader.read(1 << 16)
            if not chunk:
                raise RuntimeError(f"the {kind} server closed a stream after {count} events")
            data = rest + chunk
            count += data.count(mark)
            rest = data[-(len(mark) - 1) :] if not data.endswith(mark) else b""
    return count


async def compare(*, viewers: int, rate: int, seconds: float) -> dict[str, Any]:
    """Measure both, and their ratio."""
    load = {"viewers": viewers, "rate": rate, "seconds": seconds}
    ours = await measure("ours", viewers=viewers, rate=rate, seconds=seconds)
    peer = await measure("peer", viewers=viewers, rate=rate, seconds=seconds)
    ratio = peer["cpu_us_per_event"] / ours["cpu_us_per_event"]
    return {**load, "ours": ours, "peer": peer, "peer_to_ours": ratio}


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    load = f"{result['viewers']} viewers, {result['rate']} events/s, {result['seconds']:g} s"
    rows = [f"Fan-out, {load}: server CPU per delivered event"]
    for kind, label in (("ours", "binderprogress"), ("peer", "serialise, write, flush per viewer")):
        rows.append(f"  {label:<36}{result[kind]['cpu_us_per_event']:8.1f} µs")
    rows.append(f"  ratio{result['peer_to_ours']:39.2f}")
    return "\n".join(rows)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
