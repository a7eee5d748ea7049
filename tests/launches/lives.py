"""One server process after the other, each of which takes up the launches of the one before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

from binderprogress.backends.base import (
    Attempt,
    LaunchRequest,
    PairedBackend,
    Record,
    ResolvedSpec,
    RunningServer,
)
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.core.events import Event
from binderprogress.core.log.reasons import failure
from binderprogress.core.phases import Phase
from binderprogress.launches import Caller, Launch, LaunchManager

from ..support.durable import DurableMemoryStore, Memory
from .parts import WITHIN, Feed, keys, said, until

__all__ = ["CALLER", "Ending", "Life", "Servers", "check", "kill", "seen_of"]

CALLER = Caller(base_url="http://here/", ip="127.0.0.1", user="ada")


class Servers:
    """A launcher whose servers start when a test says so, and that replays as JupyterHub does."""

    def __init__(self) -> None:
        self.asked: list[LaunchRequest[ResolvedSpec, object]] = []
        self.stopped: list[str] = []
        self.removals: list[str] = []
        self.asked_to_stop = asyncio.Event()
        self.events: list[str] = ["0 Server requested", "50 Spawning server..."]
        self.refuses = False
        """Whether servers cannot be stopped now."""
        self.accepts = asyncio.Event()
        """Whether they can be stopped later."""
        self.ready = asyncio.Event()
        self.changed = asyncio.Event()

    async def launch(
        self, request: LaunchRequest[ResolvedSpec, object]
    ) -> AsyncGenerator[Record | Attempt | RunningServer, None]:
        self.asked.append(request)
        sent = 0
        while not self.ready.is_set():
            self.changed.clear()
            for event in self.events[sent:]:
                progress, _, message = event.partition(" ")
                record = {"progress": int(progress), "message": message}
                yield Record("jupyterhub", record)
            sent = len(self.events)
            await self.changed.wait()
        yield RunningServer("http://hub.invalid/user/x/", request.token)

    def say(self, event: str) -> None:
        self.events.append(event)
        self.changed.set()

    def start(self) -> None:
        self.ready.set()
        self.changed.set()

    async def stop(self, request: LaunchRequest[ResolvedSpec, object]) -> None:
        self.stopped.append(request.key)
        self.asked_to_stop.set()
        if self.refuses:
            raise failure("hub-unreachable")

    async def removed(self, request: LaunchRequest[ResolvedSpec, object]) -> bool:
        await self.accepts.wait()
        self.removals.append(request.key)
        return True

    async def close(self) -> None:
        pass


async def kill(manager: LaunchManager, store: DurableMemoryStore) -> None:
    """End a process as SIGKILL does: nothing more is stored, and its children die."""
    store.die()
    for build in manager._builds.running:
        build.is_interrupted = True
        build.task.cancel()
    manager._running._runner.is_handing_over = True
    for task in manager._running.tasks.values():
        task.cancel()
    async with asyncio.timeout(WITHIN):
        while manager._running.tasks:
            await asyncio.wait(list(manager._running.tasks.values()))
    await manager._running._runner.cleanups.close()
    await manager._channels.close()


class Life:
    """One server process after the other, with one store."""

    def __init__(self, builder: LocalBuilder, logs: Path) -> None:
        self.memory = Memory()
        self.servers = Servers()
        self._builder = builder
        self._logs = logs
        self._count = 0
        self.settings: dict[str, float] = {}
        self.manager: LaunchManager
        self.store: DurableMemoryStore
        self.ended: list[LaunchManager] = []

    async def begin(self, **settings: float) -> LaunchManager:
        self._count += 1
        self.store = DurableMemoryStore(self.memory, f"replica-{self._count}")
        self.manager = LaunchManager(
            channels=self.store,
            backend=PairedBackend(self._builder, self.servers),
            logs=self._logs,
            **{**self.settings, **settings},
        )
        await self.manager.open()
        return self.manager

    async def kill(self) -> None:
        """End the process as SIGKILL does: nothing more is stored, and its children die."""
        self.ended.append(self.manager)
        await kill(self.manager, self.store)

    async def restart(self) -> LaunchManager:
        """Stop the process as SIGTERM does, and begin the next one."""
        await self.manager.close(hand_over=True)
        return await self.begin()

    async def start(self, feed: Feed) -> Launch:
        return await self.manager.start(feed.spec, CALLER)

    async def spawning(self, feed: Feed) -> Launch:
        """Start a launch whose server is starting."""
        launch = await self.start(feed)
        (await feed.build()).finish()
        await until(launch, said("Spawning server"))
        return launch

    async def find(self, launch: Launch) -> Launch:
        return await self.manager.find(launch.id, user="ada")

    async def close(self) -> None:
        await self.manager.close()


Ending = Callable[[Life], Awaitable[None]]
"""How a process ends, and the next one begins."""


async def seen_of(launch: Launch) -> list[bytes]:
    return [encoded.sse for encoded in await launch.read(0, limit=10**6)]


def check(events: list[Event]) -> None:
    """Check what holds of every complete stream."""
    assert keys(events) == list(range(1, len(events) + 1))
    assert [event.progress for event in events] == sorted(event.progress for event in events)
    assert [event.time for event in events] == sorted(event.time for event in events)
    order = list(Phase)
    assert [order.index(e.phase) for e in events] == sorted(order.index(e.phase) for e in events)
    assert [event.terminal for event in events] == [False] * (len(events) - 1) + [True]
