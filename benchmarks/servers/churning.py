"""binderprogress with launches that begin and end all the time: some slow, some floods."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncGenerator
from multiprocessing.connection import Connection

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from traitlets.config import Config

from binderprogress.backends.base import (
    PLAIN_CODEC,
    BackendProfile,
    BuildResult,
    PairedBackend,
    Record,
    ResolvedSpec,
)
from binderprogress.core.phases import Phase
from binderprogress.core.specs import Spec, parse
from binderprogress.launches import Caller, LaunchManager
from binderprogress.web.app import make_app
from binderprogress.web.config import Web

from . import payload
from .ours import NoLauncher, new_store

FORGET_AFTER = 30.0
"""Seconds, so that as many launches are forgotten as begin, soon after the server has started."""

_FLOOD = 20_000
"""Lines that every tenth build prints at once."""


class _Builder:
    """Prints ten lines a second for 5 to 40 s, or very many lines at once."""

    codec = PLAIN_CODEC
    profile = BackendProfile(typical={Phase.BUILDING: 20.0})

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        return ResolvedSpec(spec, "0" * 40)

    async def build(self, target: ResolvedSpec) -> AsyncGenerator[Record | BuildResult, None]:
        is_flood = random.random() < 0.1  # noqa: S311 - not a secret
        count = _FLOOD if is_flood else random.randrange(50, 400)  # noqa: S311 - not a secret
        for number in range(count):
            yield Record("repo2docker", payload.record(number, 0.0))
            if not is_flood:
                await asyncio.sleep(0.1)
        yield BuildResult("an-image")


def main(connection: Connection, launches: int) -> None:
    """Keep so many launches running, until the other side closes the connection."""
    with new_store("sqlite") as store:
        limits = {
            "max_launches": 2 * launches,
            "abandon_after": 60.0,
            "forget_after": FORGET_AFTER,
            "keep_logs": FORGET_AFTER,
        }
        manager = LaunchManager(
            channels=store,
            backend=PairedBackend(_Builder(), NoLauncher()),
            config=Config(LaunchManager=limits),
        )
        asyncio.run(_serve(connection, manager, launches))


async def _serve(connection: Connection, manager: LaunchManager, launches: int) -> None:
    await manager.open()
    gc.freeze()
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(make_app(Web(launches=manager))).add_sockets(sockets)
    connection.send(sockets[0].getsockname()[1])
    running: dict[int, str] = {}
    ended = 0

    async def relaunch(number: int) -> None:
        nonlocal ended
        spec = parse(f"gh/ada/penguins-{number}/HEAD")
        while True:
            launch = await manager.start(spec, Caller())
            running[number] = launch.id
            changed = asyncio.Event()
            launch.changed.add(changed.set)
            while not launch.closed:
                changed.clear()
                await changed.wait()
            launch.changed.remove(changed.set)
            ended += 1

    tasks = [asyncio.create_task(relaunch(number)) for number in range(launches)]
    while not connection.poll():
        connection.send((list(running.values()), ended))
        await asyncio.sleep(1)
    for task in tasks:
        task.cancel()
    await manager.close()
