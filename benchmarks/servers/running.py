"""Starts a server in a process of its own, and says what it took."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import psutil

from . import nchan
from .control import Listening, Order, pin

spawned = multiprocessing.get_context("spawn")

SERVERS = {
    "binderprogress": "ours",
    "sqlite": "oursqlite",
    "jupyterhub": "jupyterhubpeer",
    "tornado": "tornadopeer",
    "sse-starlette": "starlettepeer",
    "nchan": "nchan",
}
"""By name, the module that runs it."""

MISSING = {
    name: text
    for name, text, found in (
        (
            "nchan",
            "nginx with nchan is not installed (nginx-light, libnginx-mod-nchan)",
            nchan.module(),
        ),
        (
            "sse-starlette",
            "it is not installed (pip install 'binderprogress[bench]')",
            all(map(importlib.util.find_spec, ("sse_starlette", "uvicorn", "uvloop"))),
        ),
    )
    if not found
}
"""Peers that cannot run here, and why."""


class Cores(NamedTuple):
    """Which core the server has to itself, and which all that loads it; None: any."""

    server: int | None
    load: int | None


ANY = Cores(None, None)
"""All processes use all cores."""


def cores() -> Cores:
    """Return which cores to use."""
    if hasattr(os, "sched_getaffinity") and len(own := sorted(os.sched_getaffinity(0))) > 1:
        return Cores(own[0], own[-1])
    return ANY


def open_files(wanted: int) -> int:
    """Allow this process, and those that it starts, so many open files; return how many it got."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


class Running:
    """A server that runs.

    Attributes
    ----------
    port : int
    paths : sequence of str
        Of its streams.
    """

    def __init__(self, connection: Connection, process: psutil.Process) -> None:
        self._connection = connection
        self._process = process
        self._sent = 0
        said = self._receive()
        if isinstance(said, int):
            self._process = psutil.Process(said)
            said = self._receive()
        assert isinstance(said, Listening)
        self.port, self.paths = said

    def send(self, *, rate: float, count: int) -> None:
        """Begin to send `count` events in each stream, `rate` a second."""
        self._connection.send(Order(rate, count, self._sent))
        self._sent += count

    def sent(self) -> None:
        """Wait until all that was to be sent is on its way."""
        self._receive()

    def cpu(self) -> float:
        """Return the seconds of CPU that it has used."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> dict[str, int]:
        """Return its memory in bytes: resident, and of that what is its own."""
        memory = self._process.memory_full_info()
        return {"rss": memory.rss, "uss": memory.uss}

    def _receive(self) -> Any:
        if not self._connection.poll(120):
            raise TimeoutError("The server under test does not answer.")
        return self._connection.recv()


@contextmanager
def running(
    name: str, *, streams: int = 1, on: Cores | None = None, **options: Any
) -> Iterator[Running]:
    """Run a server; it ends with the context.

    Parameters
    ----------
    name : str
        One of `SERVERS`.
    streams : int
        How many streams of events it has, each with its own path.
    on : Cores, optional
        Which cores to use.
    **options
        Of the module that runs the server.
    """
    ours, theirs = spawned.Pipe()
    process = spawned.Process(target=_main, args=(name, theirs, streams, options, on or cores()))
    process.start()
    theirs.close()
    try:
        yield Running(ours, psutil.Process(process.pid))
    finally:
        ours.close()
        process.join(10)
        if process.is_alive():
            process.kill()
            process.join()


def _main(
    name: str, connection: Connection, streams: int, options: dict[str, Any], on: Cores
) -> None:
    files = open_files(1 << 20)
    # What feeds nginx belongs to the load; nginx's worker is put on its core by its module.
    pin(on.load if name == "nchan" else on.server)
    options = {"files": files, "server_core": on.server, **options}
    module = importlib.import_module(f".{SERVERS[name]}", __package__)
    module.main(connection, streams, options)


def present(names: Sequence[str]) -> list[str]:
    """Return those that can run here."""
    return [name for name in names if name not in MISSING]
