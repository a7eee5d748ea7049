"""JupyterHub's own handler of a spawn's progress, with a spawner that says what is ordered.

The handler and the class of the spawner are JupyterHub's. Only users and their permissions are
not looked up in its database: each stream is the server of one user, and everyone may watch it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

from jupyterhub.apihandlers.users import SpawnProgressAPIHandler
from jupyterhub.scopes import Scope
from jupyterhub.spawner import SimpleLocalProcessSpawner
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from . import payload
from .control import Listening, Order, offset, orders, paced


class OrderedSpawner(SimpleLocalProcessSpawner):
    """A spawn that does not end. JupyterHub iterates over its progress once for each viewer."""

    def __init__(self, index: int, streams: int) -> None:
        super().__init__()
        self._index = index
        self._streams = streams
        self._queues: list[asyncio.Queue[Order]] = []
        self._spawn_pending = True
        self._spawn_future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def order(self, order: Order) -> None:
        """Send events to all viewers, and wait until all are on their way."""
        for queue in self._queues:
            queue.put_nowait(order)
        for queue in self._queues:
            await queue.join()

    async def progress(self) -> AsyncGenerator[dict[str, Any], None]:
        queue: asyncio.Queue[Order] = asyncio.Queue()
        self._queues.append(queue)
        while True:
            order = await queue.get()
            begin = offset(order, self._index, self._streams)
            # Without a queue of events, as `tornadopeer` has: this takes less CPU.
            async for number, due in paced(order, offset=begin):
                yield payload.event(number, due)
            queue.task_done()


class ProgressHandler(SpawnProgressAPIHandler):
    """JupyterHub's handler, for everyone."""

    def set_default_headers(self) -> None:
        """Leave out what the settings of a JupyterHub add, such as its security policy."""
        self.set_header("Content-Type", self.get_content_type())

    async def prepare(self) -> None:
        """Allow what a token with the scope ``read:servers`` allows."""
        self._jupyterhub_user = self.settings["users"]["0"]
        self.expanded_scopes = {"read:servers"}
        self.parsed_scopes = {"read:servers": Scope.ALL}

    def find_user(self, user_name: str) -> Any:
        """Return the user whose server is a stream."""
        return self.settings["users"].get(user_name)


def main(connection: Connection, streams: int, options: dict[str, Any]) -> None:
    # At the end, each handler is cancelled while it waits.
    logging.getLogger("tornado").setLevel(logging.CRITICAL)
    asyncio.run(_serve(connection, streams))


async def _serve(connection: Connection, streams: int) -> None:
    spawners = [OrderedSpawner(index, streams) for index in range(streams)]
    users = {
        str(index): SimpleNamespace(spawners={"": each}) for index, each in enumerate(spawners)
    }
    rules: list[Any] = [(r"/users/([^/]+)/server/progress", ProgressHandler)]
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(Application(rules, users=users, db=None)).add_sockets(sockets)
    paths = [f"/users/{name}/server/progress" for name in users]
    connection.send(Listening(sockets[0].getsockname()[1], paths))
    async for order in orders(connection):
        await asyncio.gather(*(spawner.order(order) for spawner in spawners))
        connection.send(order)
