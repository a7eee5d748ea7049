"""Viewers: connections that read, all in one process that does as little as can be for each read.

Each checks that it gets every event once and in order. Some are asked how late the events were.
"""

from __future__ import annotations

import selectors
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from typing import Any

import msgspec

from binderprogress.core.timing.recent import quantile

from .servers import payload
from .servers.control import pin
from .servers.running import Cores, cores, open_files, spawned

_REQUEST = b"GET %b HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
_BATCH = 100
"""Connections that are begun before their answers are awaited; fewer than any listener's queue."""


class Reading(msgspec.Struct):
    """What viewers got.

    Attributes
    ----------
    delivered, bytes : int
        Events, and all bytes with their frames.
    complete, broken : int
        Viewers that got every event once and in order, and those that got one twice or not.
    seconds : float
        Until the last one had them.
    cpu : float
        Seconds of CPU that the reading took.
    latencies : list of float
        Seconds from when an event was due to its arrival, at the viewers that are asked.
    stopped : bool
        Whether the reading was told to end.
    """

    delivered: int = 0
    bytes: int = 0
    complete: int = 0
    broken: int = 0
    viewers: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    latencies: list[float] = []
    stopped: bool = False

    def latency(self) -> dict[str, float]:
        """Return quantiles of the latencies in milliseconds."""
        ordered = sorted(value * 1000 for value in self.latencies)
        if not ordered:
            return {}
        found = {f"p{percent}_ms": quantile(ordered, percent / 100) or 0.0 for percent in (50, 99)}
        return {**found, "max_ms": round(ordered[-1], 4)}


class _Viewer:
    __slots__ = ("asked", "broken", "head", "next", "rest", "socket")

    def __init__(self, connected: socket.socket, first: int, *, asked: bool) -> None:
        self.socket = connected
        self.asked = asked
        self.broken = False
        self.head = False
        self.next = first
        self.rest = b""

    def take(self, data: bytes, latencies: list[float]) -> int:
        """Return how many events a piece completes."""
        if self.rest:
            data = self.rest + data
        end = data.rfind(b"\n") + 1
        self.rest = data[end:]
        count = data.count(payload.MARK, 0, end)
        if not count:
            return 0
        first, last = data.find(payload.MARK), data.rfind(payload.MARK, 0, end)
        if _number(data, first) != self.next or _number(data, last) != self.next + count - 1:
            self.broken = True
        self.next += count
        if self.asked:
            now, at = time.monotonic(), first
            for _ in range(count):
                latencies.append(now - float(data[at:][payload.TIME]))
                at = data.find(payload.MARK, at + 1)
        return count


def _number(data: bytes, at: int) -> int:
    return int(data[at : at + 16][payload.NUMBER])


class _Viewers:
    """In the process that reads."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._selector = selectors.DefaultSelector()
        self._viewers: list[_Viewer] = []

    def connect(self, port: int, paths: Sequence[str], ask_every: int, first: int) -> float:
        """Connect one viewer for each path; return the seconds until all are answered."""
        began = time.monotonic()
        for start in range(0, len(paths), _BATCH):
            batch = self.open(port, paths[start : start + _BATCH], ask_every, first)
            while not all(viewer.head for viewer in batch):
                self._read(Reading(), timeout=30, wanted=0)
        took = time.monotonic() - began
        # What is there already is not part of what is measured next.
        while self._read(Reading(), timeout=0.2, wanted=0):
            pass
        return took

    def open(
        self, port: int, paths: Sequence[str], ask_every: int, first: int = 0
    ) -> list[_Viewer]:
        """Begin one viewer for each path, whose next event has the number `first`."""
        opened = []
        for path in paths:
            connected = socket.create_connection(("127.0.0.1", port), 30)
            # Closed at once: thousands of ports that linger slow the next server's viewers down.
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connected.sendall(_REQUEST % path.encode())
            connected.setblocking(False)
            viewer = _Viewer(connected, first, asked=len(self._viewers) % ask_every == 0)
            self._selector.register(connected, selectors.EVENT_READ, viewer)
            self._viewers.append(viewer)
            opened.append(viewer)
        return opened

    def join(self, port: int, paths: Sequence[str], wanted: int, timeout: float) -> Reading:
        """Connect one viewer for each path and read until each has so many events."""
        began = time.monotonic()
        self.open(port, paths, ask_every=len(paths))
        found = self.read(wanted, timeout)
        found.seconds = time.monotonic() - began
        return found

    def read(self, wanted: int, timeout: float) -> Reading:
        """Read until each viewer has got so many events in all, or until there is an order."""
        found = Reading(viewers=len(self._viewers))
        began, cpu = time.monotonic(), time.process_time()
        missing = sum(max(wanted - viewer.next, 0) for viewer in self._viewers)
        self._selector.register(self._pipe, selectors.EVENT_READ, None)
        try:
            while missing > 0 and time.monotonic() < began + timeout:
                missing -= self._read(found, timeout=1.0, wanted=wanted)
                if found.stopped:
                    break
        finally:
            self._selector.unregister(self._pipe)
        found.seconds = time.monotonic() - began
        found.cpu = time.process_time() - cpu
        found.complete = sum(v.next >= wanted and not v.broken for v in self._viewers)
        found.broken = sum(v.broken for v in self._viewers)
        return found

    def close(self) -> None:
        """Let all connections go."""
        for viewer in self._viewers:
            self._selector.unregister(viewer.socket)
            viewer.socket.close()
        self._viewers.clear()

    def _read(self, found: Reading, *, timeout: float, wanted: int) -> int:
        """Read what there is; return how many events are fewer missing, or how many pieces came.

        The latter where none is wanted.
        """
        ready = self._selector.select(timeout)
        missing = 0
        for key, _ in ready:
            viewer = key.data
            if viewer is None:
                found.stopped = self._pipe.recv() == "stop"
                continue
            data = viewer.socket.recv(1 << 18)
            if not data:
                raise RuntimeError(f"A stream was closed after {viewer.next} events.")
            if not viewer.head:
                viewer.head = b"\r\n\r\n" in data
                if not data.startswith(b"HTTP/1.1 200"):
                    raise RuntimeError(f"A viewer was refused: {data[:300]!r}")
            before = min(viewer.next, wanted)
            found.bytes += len(data)
            found.delivered += viewer.take(data, found.latencies)
            missing += min(viewer.next, wanted) - before
        return missing if wanted else len(ready)


def _main(pipe: Pipe, core: int | None) -> None:
    open_files(1 << 20)
    pin(core)
    viewers = _Viewers(pipe)
    while True:
        try:
            name, arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(getattr(viewers, name)(*arguments))


class Load:
    """Viewers in a process of their own."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def connect(
        self, port: int, paths: Sequence[str], *, ask_every: int = 20, first: int = 0
    ) -> float:
        """Connect one viewer for each path; return the seconds until all are answered.

        Each `ask_every`-th is asked how late its events are. The next event that each is to get
        has the number `first`.
        """
        return float(self._call("connect", port, paths, ask_every, first))

    def join(
        self, port: int, paths: Sequence[str], wanted: int, *, timeout: float = 300.0
    ) -> Reading:
        """Connect one viewer for each path at once; return when each has got so many events."""
        found = self._call("join", port, paths, wanted, timeout)
        assert isinstance(found, Reading)
        return found

    def begin(self, wanted: int, *, timeout: float = 300.0) -> None:
        """Begin to read until each viewer has got so many events since it is there."""
        self._pipe.send(("read", (wanted, timeout)))

    def stop(self) -> Reading:
        """End what was begun."""
        self._pipe.send("stop")
        return self.end()

    def end(self) -> Reading:
        """Wait for what was begun."""
        found = self._pipe.recv()
        assert isinstance(found, Reading)
        return found

    def close(self) -> None:
        """Let all connections go."""
        self._call("close")

    def _call(self, name: str, *arguments: Any) -> Any:
        self._pipe.send((name, arguments))
        return self._pipe.recv()


@contextmanager
def load(on: Cores | None = None) -> Iterator[Load]:
    """Run a process for viewers, on these cores; it ends with the context."""
    ours, theirs = spawned.Pipe()
    process = spawned.Process(target=_main, args=(theirs, (on or cores()).load))
    process.start()
    theirs.close()
    try:
        yield Load(ours)
    finally:
        ours.close()
        process.join(10)
        if process.is_alive():
            process.kill()
            process.join()
