"""sse-starlette on uvicorn, with a queue for each viewer, as its example of broadcasting is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from multiprocessing.connection import Connection
from typing import Any

import uvicorn
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from tornado.netutil import bind_sockets

from . import payload
from .control import Listening, Order, offset, orders, paced


def main(connection: Connection, streams: int, options: dict[str, Any]) -> None:
    queues: list[list[asyncio.Queue[ServerSentEvent]]] = [[] for _ in range(streams)]

    async def follow(queue: asyncio.Queue[ServerSentEvent]) -> AsyncIterator[ServerSentEvent]:
        while True:
            yield await queue.get()

    async def events(request: Request) -> EventSourceResponse:
        queue: asyncio.Queue[ServerSentEvent] = asyncio.Queue()
        queues[request.path_params["index"]].append(queue)
        return EventSourceResponse(follow(queue))

    async def emit(index: int, order: Order) -> None:
        async for number, due in paced(order, offset=offset(order, index, streams)):
            event = ServerSentEvent(payload.compact(number, due), id=str(number))
            for queue in queues[index]:
                queue.put_nowait(event)

    async def obey() -> None:
        async for order in orders(connection):
            await asyncio.gather(*(emit(index, order) for index in range(streams)))
            connection.send(order)

    async def serve() -> None:
        app = Starlette(routes=[Route("/events/{index:int}", events)])
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
        sockets = bind_sockets(0, "127.0.0.1")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets))
        paths = [f"/events/{index}" for index in range(streams)]
        connection.send(Listening(sockets[0].getsockname()[1], paths))
        await obey()
        server.force_exit = server.should_exit = True
        await serving

    # What `uvicorn` itself runs on where it is there.
    import uvloop

    uvloop.run(serve())
