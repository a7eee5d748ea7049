"""How a server is told to send, and how it keeps the pace."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from heapq import heappop, heappush
from itertools import count
from multiprocessing.connection import Connection
from typing import NamedTuple


class Order(NamedTuple):
    """Events to send, in each stream.

    Attributes
    ----------
    rate : float
        Events a second; 0: as fast as can be.
    count : int
    first : int
        The first one's number.
    """

    rate: float
    count: int
    first: int


class Listening(NamedTuple):
    """Where a server listens; one path for each stream."""

    port: int
    paths: Sequence[str]


async def orders(connection: Connection) -> AsyncIterator[Order]:
    """Iterate over what comes, until the other side is gone."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(connection.fileno(), readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            while connection.poll():
                try:
                    order = connection.recv()
                except (EOFError, ConnectionResetError):
                    return
                yield order
    finally:
        loop.remove_reader(connection.fileno())


class _Pacer:
    """Wakes all streams of a process, with one timer for all: a timer for each costs a server CPU.

    It has no place in a measurement of servers, whose events come from elsewhere.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None

    def until(self, due: float) -> asyncio.Future[None]:
        """Return what is done at `due`, in monotonic seconds."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        heappush(self._waiting, (due, next(self._numbers), future))
        if self._timer is None or due < self._timer.when():
            self._set(loop, due)
        return future

    def _set(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # asyncio's loops have the clock of `time.monotonic`, others such as uvloop's may not.
        self._timer = loop.call_later(due - time.monotonic(), self._wake)

    def _wake(self) -> None:
        self._timer = None
        waiting, now = self._waiting, time.monotonic()
        while waiting and waiting[0][0] <= now:
            future = heappop(waiting)[2]
            if not future.done():
                future.set_result(None)
        if waiting:
            self._set(asyncio.get_running_loop(), waiting[0][0])


_pacer = _Pacer()
"""A server under test has one event loop."""


async def paced(order: Order, *, offset: float = 0.0) -> AsyncIterator[tuple[int, float]]:
    """Iterate over numbers and the monotonic seconds when each was due, as they come due.

    Who is late gets them late, and the time when they were due: what waits is not left out.
    """
    began = time.monotonic() + offset
    for index in range(order.count):
        now = time.monotonic()
        due = began + index / order.rate if order.rate else now
        if due > now:
            await _pacer.until(due)
        elif order.rate or index % 20 == 0:
            await asyncio.sleep(0)
        yield order.first + index, due


def offset(order: Order, index: int, streams: int) -> float:
    """Return by how many seconds a stream begins later, so that not all send at once."""
    return index / streams / order.rate if order.rate else 0.0


def pin(core: int | None) -> None:
    """Keep this process on one core."""
    if core is not None:
        os.sched_setaffinity(0, {core})
