"""A handler as JupyterHub's and BinderHub's are: for each viewer a queue; serialise, write, flush.

After `SpawnProgressAPIHandler` in jupyterhub/apihandlers/users.py and `BuildHandler` in
binderhub/builder.py.
"""

from __future__ import annotations

import asyncio
import json
import logging
from multiprocessing.connection import Connection
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.queues import Queue
from tornado.web import Application, Finish, RequestHandler, StaticFileHandler

from . import payload
from .control import Listening, Order, offset, orders, paced


class ProgressHandler(RequestHandler):
    """Sends the events of one stream."""

    keepalive_interval = 8

    def initialize(self) -> None:
        self._finish_future: asyncio.Future[None] = asyncio.Future()

    def on_finish(self) -> None:
        self._finish_future.set_result(None)

    async def send_event(self, event: dict[str, Any]) -> None:
        try:
            self.write(f"data: {json.dumps(event)}\n\n")
            await self.flush()
        except StreamClosedError:
            raise Finish from None

    async def keepalive(self) -> None:
        while not self._finish_future.done():
            try:
                self.write("\n\n")
                await self.flush()
            except (StreamClosedError, RuntimeError):
                return
            await asyncio.wait([self._finish_future], timeout=self.keepalive_interval)

    async def get(self, index: str) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache")
        self._task = asyncio.ensure_future(self.keepalive())
        queue: Queue[dict[str, Any]] = Queue()
        self.settings["queues"][int(index)].append(queue)
        while True:
            await self.send_event(await queue.get())


def main(connection: Connection, streams: int, options: dict[str, Any]) -> None:
    # At the end, each handler is cancelled while it waits.
    logging.getLogger("tornado").setLevel(logging.CRITICAL)
    asyncio.run(_serve(connection, streams, options))


async def _serve(connection: Connection, streams: int, options: dict[str, Any]) -> None:
    queues: list[list[Queue[dict[str, Any]]]] = [[] for _ in range(streams)]
    rules: list[Any] = [(r"/events/(\d+)", ProgressHandler)]
    if folder := options.get("folder"):
        rules.append((r"/static/(.*)", StaticFileHandler, {"path": folder}))
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(Application(rules, queues=queues)).add_sockets(sockets)
    paths = [f"/events/{index}" for index in range(streams)]
    connection.send(Listening(sockets[0].getsockname()[1], paths))

    async def emit(index: int, order: Order) -> None:
        async for number, due in paced(order, offset=offset(order, index, streams)):
            event = payload.event(number, due)
            for queue in queues[index]:
                await queue.put(event)

    async for order in orders(connection):
        await asyncio.gather(*(emit(index, order) for index in range(streams)))
        connection.send(order)
