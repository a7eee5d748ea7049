"""How a server is told to send, and how it keeps the pace."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
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


async def paced(order: Order, *, offset: float = 0.0) -> AsyncIterator[tuple[int, float]]:
    """Iterate over numbers and the monotonic seconds when each was due, as they come due.

    Who is late gets them late, and the time when they were due: what waits is not left out.
    """
    began = time.monotonic() + offset
    for index in range(order.count):
        now = time.monotonic()
        due = began + index / order.rate if order.rate else now
        if order.rate or index % 20 == 0:
            await asyncio.sleep(max(due - now, 0))
        yield order.first + index, due


def offset(order: Order, index: int, streams: int) -> float:
    """Return by how many seconds a stream begins later, so that not all send at once."""
    return index / streams / order.rate if order.rate else 0.0


def pin(core: int | None) -> None:
    """Keep this process on one core."""
    if core is not None:
        os.sched_setaffinity(0, {core})
