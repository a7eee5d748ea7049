"""binderprogress itself: its whole application, with a builder that prints what it is told to."""

from __future__ import annotations

import asyncio
import gc
import logging
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from traitlets.config import Config

from binderprogress.backends.base import (
    PLAIN_CODEC,
    BackendProfile,
    BuildResult,
    LaunchRequest,
    PairedBackend,
    Record,
    ResolvedSpec,
    RunningServer,
)
from binderprogress.channels.base import ChannelStore
from binderprogress.channels.database.store import DatabaseStore
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.phases import Phase
from binderprogress.core.specs import Spec, parse
from binderprogress.launches import Caller, LaunchManager
from binderprogress.web.app import make_app
from binderprogress.web.config import Web

from . import payload
from .control import Listening, Order, offset, orders, paced


class OrderedBuilder:
    """Builds whatever it is asked for, printing what is ordered.

    Parameters
    ----------
    streams : int
        How many builds there will be.
    """

    codec = PLAIN_CODEC
    profile = BackendProfile(typical={Phase.FETCHING: 5.0, Phase.BUILDING: 120.0})

    def __init__(self, streams: int) -> None:
        self.begun = asyncio.Semaphore(0)
        self._streams = streams
        self._queues: list[asyncio.Queue[Order]] = []

    async def order(self, order: Order) -> None:
        """Have all builds print, and wait until they have."""
        for queue in self._queues:
            queue.put_nowait(order)
        for queue in self._queues:
            await queue.join()

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        return ResolvedSpec(spec, "0" * 40)

    async def build(self, target: ResolvedSpec) -> AsyncGenerator[Record | BuildResult, None]:
        queue: asyncio.Queue[Order] = asyncio.Queue()
        index = len(self._queues)
        self._queues.append(queue)
        yield Record("repo2docker", payload.record(0, 0.0).replace("<~", ""))
        self.begun.release()
        while (order := await queue.get()).count:
            begin = offset(order, index, self._streams)
            async for number, due in paced(order, offset=begin):
                yield Record("repo2docker", payload.record(number, due))
            queue.task_done()
        queue.task_done()
        yield BuildResult("an-image")


class NoLauncher:
    """Starts nothing, at once."""

    async def launch(self, request: LaunchRequest) -> AsyncGenerator[Record | RunningServer, None]:
        yield RunningServer("http://127.0.0.1:1/", "none")

    async def stop(self, request: LaunchRequest) -> None:
        pass

    async def close(self) -> None:
        pass


@contextmanager
def new_store(url: str, keys: str = "") -> Iterator[ChannelStore]:
    """Make where launches are kept: ``memory``, ``sqlite`` for a new file, or a database's URL."""
    if url == "memory":
        yield MemoryChannelStore()
        return
    with tempfile.TemporaryDirectory() as folder:
        file = f"sqlite:///{folder}/launches.sqlite"
        address = file if url == "sqlite" else url
        yield DatabaseStore(address, keys=keys, log=logging.getLogger(__name__))


def main(connection: Connection, streams: int, options: dict[str, Any]) -> None:
    with new_store(options.get("store", "memory"), options.get("keys", "")) as store:
        asyncio.run(_serve(connection, streams, store, options.get("owner", "ada")))


async def _serve(connection: Connection, streams: int, store: ChannelStore, owner: str) -> None:
    builder = OrderedBuilder(streams)
    # Twice as many: replicas count the launches of all.
    limits = {"max_launches": 2 * streams, "abandon_after": 3600.0}
    launches = LaunchManager(
        channels=store,
        backend=PairedBackend(builder, NoLauncher()),
        config=Config(LaunchManager=limits),
    )
    await launches.open()
    # As the server does when it has started.
    gc.freeze()
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(make_app(Web(launches=launches))).add_sockets(sockets)
    started = [
        await launches.start(parse(f"gh/{owner}/penguins-{index}/HEAD"), Caller())
        for index in range(streams)
    ]
    for _ in started:
        await builder.begun.acquire()
    paths = [f"/api/launches/{launch.id}/events" for launch in started]
    connection.send(Listening(sockets[0].getsockname()[1], paths))

    async def obey(order: Order) -> None:
        await builder.order(order)
        connection.send(order)

    # The end is noticed while an order is carried out, too.
    begun = [asyncio.create_task(obey(order)) async for order in orders(connection)]
    await launches.close()
    for task in begun:
        task.cancel()
