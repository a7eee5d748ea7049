"""Launches with viewers, as many as a test wants at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from time import monotonic

import aiohttp
from sqlalchemy import create_engine, select

from binderprogress.channels.database.tables import channels, leases
from binderprogress.core.phases import Phase

from ..support.invariants import Launched, View, World, check
from ..support.lastinghub import LastingHub
from ..support.watching import SILENCE, Watcher
from . import quick
from .replica import Replica

__all__ = ["Load", "running"]

_AT_ONCE = 8
"""Launches that are started at the same time."""


class Load:
    """Starts launches, watches them, and replaces those that are over.

    Parameters
    ----------
    hub : LastingHub
        Where their servers start.
    url : str
        The address of the server.
    spec : str
        What is launched.
    launches : int
        How many run at a time.
    viewers : int
        How many watch each.
    silence : float
        Seconds without data after which they give a connection up.

    Attributes
    ----------
    launched : list of Launched
        All launches that the server has accepted, with what their viewers saw.
    resumed : list of float
        Seconds from `since` until each viewer that had lost its connection was answered again.
    since : float
        The time from which that counts.
    """

    def __init__(
        self,
        hub: LastingHub,
        url: str,
        spec: str,
        *,
        launches: int,
        viewers: int,
        silence: float = SILENCE,
    ) -> None:
        self.launched: list[Launched] = []
        self.resumed: list[float] = []
        self.since = 0.0
        self._hub = hub
        self._url = url
        self._spec = spec
        self._launches = launches
        self._viewers = viewers
        self._silence = silence
        self._watchers: set[Watcher] = set()
        self._problems: list[str] = []
        self._running: set[asyncio.Task[None]] = set()
        self._may_start = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._starting = 0
        self._pending = 0
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    @property
    def problems(self) -> list[str]:
        """Why viewers gave up."""
        return self._problems + [each.problem for each in self._watchers if each.problem]

    @property
    def running(self) -> int:
        """The number of launches that are not over."""
        return len(self._running)

    @property
    def viewers(self) -> int:
        """The number of viewers that are connected."""
        return sum(watcher.is_connected for watcher in self._watchers)

    @property
    def events(self) -> int:
        """The number of events that all viewers have got."""
        views = [view for launched in self.launched for view in launched.views]
        return sum(len(connection.events) for view in views for connection in view.connections)

    async def close(self) -> None:
        """Close the connections."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._session.close()

    async def build(self) -> None:
        """Launch once to the end, so that the environment exists."""
        self._may_start.set()
        await self._start()
        await self.finish()

    async def fill(self) -> None:
        """Start as many launches as are missing, and wait until all viewers are connected."""
        self._may_start.set()
        while missing := self._launches - self.running:
            await asyncio.gather(*(self._start() for _ in range(min(missing, _AT_ONCE))))
        await self.connected()

    @asynccontextmanager
    async def quiet(self) -> AsyncIterator[None]:
        """Start nothing meanwhile.

        If the answer to the start of a launch is lost, a launch runs that nobody knows of, and one
        cannot tell whether it is lost.
        """
        self._may_start.clear()
        await self._idle.wait()
        try:
            yield
        finally:
            self._may_start.set()

    async def connected(self, within: float = 600.0) -> None:
        """Wait until all viewers of launches that are not over are connected."""
        until = monotonic() + within
        while len(self._watchers) > self.viewers:
            assert not self.problems, self.problems[:5]
            assert monotonic() < until, f"{self.viewers} of {len(self._watchers)} are connected"
            await asyncio.sleep(0.02)  # all of them together have no event

    @asynccontextmanager
    async def kept(self, *, pace: float) -> AsyncIterator[None]:
        """Let servers be ready meanwhile, one every `pace` seconds, and replace their launches."""
        ending = asyncio.Event()
        keeping = asyncio.create_task(self._keep(ending, pace))
        try:
            yield
            ending.set()
            await keeping
        finally:
            # It would wait for a server that is paused or gone.
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _keep(self, ending: asyncio.Event, pace: float) -> None:
        number = 0
        async with asyncio.TaskGroup() as group:
            while not ending.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(pace):
                        await ending.wait()
                number += 1
                starting = self._hub.starting()
                if number % 10 == 0:
                    self._hub.say(f"Still starting {number}")
                if len(starting) > self._launches // 2:
                    self._hub.release(starting[number % (len(starting) // 2)])
                if self.running + self._pending < self._launches:
                    group.create_task(self._start())

    async def turn(self, within: float = 60.0) -> None:
        """Let one server be ready, wait until its viewers know, and replace its launch."""
        running = self.running
        async with asyncio.timeout(within):
            while not (starting := self._hub.starting()):  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.02)
            self._hub.release(starting[0])
            while self.running == running:
                await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        await self.fill()

    async def finish(self, within: float = 600.0) -> None:
        """Let all servers be ready, and wait until all launches are over."""
        until = monotonic() + within
        while self._running:
            assert monotonic() < until, f"{self.running} launches do not end"
            assert not self.problems, self.problems[:5]
            for user in self._hub.starting():
                self._hub.release(user)
            await asyncio.wait(self._running, timeout=0.5)

    async def check(self, storage: str, replicas: Sequence[Replica]) -> None:
        """Check what viewers saw, and what is left after all servers have stopped.

        Parameters
        ----------
        storage : str
            The URL of the store.
        replicas : sequence of Replica
        """
        for replica in replicas:
            assert "Traceback" not in replica.log, replica.log
        world = await asyncio.to_thread(_world_of, storage)
        world.servers = self._hub.servers()
        world.others = [each for replica in replicas for each in replica.left()]
        check(self.launched, world)

    def all_ready(self) -> None:
        """Check that all launches got a server."""
        ends = [launched.events()[-1] for launched in self.launched]
        others = Counter((end.phase, end.reason) for end in ends if end.phase is not Phase.READY)
        assert not others, others

    async def _start(self) -> None:
        """Start a launch, and watch it in the background."""
        self._pending += 1
        try:
            links = await self._links()
        finally:
            self._pending -= 1
        launched = Launched(links["id"], [View(f"viewer {n}") for n in range(self._viewers)])
        self.launched.append(launched)
        task = asyncio.create_task(self._watch(launched, links["events_url"]))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _links(self) -> dict[str, str]:
        """Start a launch as soon as that is possible. Return its links."""
        while True:
            await self._may_start.wait()
            self._starting += 1
            self._idle.clear()
            try:
                async with self._session.post(
                    f"{self._url}api/launches", json={"spec": self._spec}
                ) as response:
                    if response.status == 201:
                        links: dict[str, str] = await response.json()
                        return links
            except aiohttp.ClientConnectionError:
                pass  # the server is gone: nothing was started
            finally:
                self._starting -= 1
                if not self._starting:
                    self._idle.set()
            await asyncio.sleep(0.1)  # there is no event for it

    async def _watch(self, launched: Launched, url: str) -> None:
        watchers = [
            Watcher(
                self._session,
                url,
                view,
                silence=self._silence,
                connected=partial(self._note, view),
            )
            for view in launched.views
        ]
        self._watchers.update(watchers)
        try:
            await asyncio.gather(*(watcher.run() for watcher in watchers))
        finally:
            self._problems += [each.problem for each in watchers if each.problem]
            self._watchers.difference_update(watchers)

    def _note(self, view: View) -> None:
        if self.since and view.connections:
            self.resumed.append(max(monotonic() - self.since, 0.0))


@asynccontextmanager
async def running(
    hub: LastingHub, replica: Replica, spec: str, *, url: str = ""
) -> AsyncIterator[Load]:
    """Run a few launches with viewers until the block ends. Then let them end, and the server.

    Parameters
    ----------
    hub : LastingHub
    replica : Replica
    spec : str
        What is launched.
    url : str
        How viewers reach the server, if not directly.
    """
    load = Load(hub, url or replica.url, spec, launches=5, viewers=3, silence=quick.SILENCE)
    try:
        await load.build()
        await load.fill()
        yield load
        await load.finish()
        assert await replica.stop() == 0
    finally:
        await load.close()


def _world_of(storage: str) -> World:
    engine = create_engine(storage.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        known = list(connection.scalars(select(leases.c.name)))
        running = list(connection.scalars(select(leases.c.name).where(leases.c.ended.is_(None))))
        rows = connection.execute(select(channels.c.id, channels.c.lease))
        owners = {row.id: row.lease for row in rows}
    engine.dispose()
    return World(leases=running, channels=owners, known_leases=known)
