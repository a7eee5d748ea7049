"""The real server on a real port, with builds and spawns that a test plays, line by line.

It stands for the engines and the Hub, whose pace no test can set. Everything between the records
and the browser is real: normalising, estimating, launches, channels, handlers, pages.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from traitlets.config import Config

from binderprogress.backends.base import (
    PLAIN_CODEC,
    Attempt,
    BackendProfile,
    BuildResult,
    LaunchRequest,
    PairedBackend,
    Prepared,
    ResolvedSpec,
    RunningServer,
    ServerPlan,
)
from binderprogress.channels.base import ChannelStore
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.log.reader import Record
from binderprogress.core.log.reasons import failure
from binderprogress.core.phases import UNPUSHED, Phase
from binderprogress.core.specs import Spec
from binderprogress.errors import LaunchFailedError
from binderprogress.launches import LaunchManager
from binderprogress.web.app import make_app
from binderprogress.web.config import Web

STREAMS = Path(__file__).parents[1] / "data" / "streams"

Item = Record | Attempt | BuildResult | RunningServer | LaunchFailedError


class _Played:
    """A source that yields what it is given, to whoever iterates."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[Item] = asyncio.Queue()

    def put(self, item: Item) -> None:
        self._items.put_nowait(item)

    async def _play(self, last: type) -> AsyncGenerator[Any, None]:
        while True:
            item = await self._items.get()
            if isinstance(item, LaunchFailedError):
                raise item
            yield item
            if isinstance(item, last):
                return


class PlayedBuilder(_Played):
    """Each repository's commit is made of its name; each build takes what comes next."""

    codec = PLAIN_CODEC
    profile = BackendProfile(
        typical={
            Phase.WAITING: 1.0,
            Phase.FETCHING: 2.0,
            Phase.BUILDING: 20.0,
            Phase.LAUNCHING: 5.0,
        },
        phases=UNPUSHED,
    )

    prepares = False
    """Whether it prepares servers: what `prepared` has, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared: asyncio.Queue[Prepared] = asyncio.Queue()

    async def prepare(
        self,
        plan: ServerPlan,
        *,
        building: asyncio.Event,
        done: Callable[[Prepared], None],
    ) -> None:
        while True:
            done(await self.prepared.get())
            self.prepared.task_done()

    async def discard(self, plan: ServerPlan) -> None:
        pass

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        return ResolvedSpec(spec, hashlib.sha1(str(spec).encode()).hexdigest())  # noqa: S324 - a name

    def build(self, target: ResolvedSpec) -> AsyncGenerator[Record | BuildResult, None]:
        return self._play(BuildResult)


class PlayedLauncher(_Played):
    """Counts the servers that were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[LaunchRequest] = []
        self.stopped: list[LaunchRequest] = []

    def launch(
        self, request: LaunchRequest
    ) -> AsyncGenerator[Record | Attempt | RunningServer, None]:
        self.requests.append(request)
        return self._play(RunningServer)

    async def stop(self, request: LaunchRequest) -> None:
        self.stopped.append(request)

    async def close(self) -> None:
        pass


class Stage:
    """The server, and what plays on it. Its methods are called from the test's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: Config,
        channels: ChannelStore,
        builder: PlayedBuilder,
    ) -> None:
        self.builder = builder
        self.launcher = PlayedLauncher()
        self.launches = LaunchManager(
            channels=channels,
            backend=PairedBackend(self.builder, self.launcher),
            config=config,
        )
        self.web = web = Web(launches=self.launches, config=config)
        self._loop = loop
        self._server = HTTPServer(make_app(web))
        sockets = bind_sockets(0, "127.0.0.1")
        self._server.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/"

    def _do(self, work: Callable[[], Any]) -> None:
        self._loop.call_soon_threadsafe(work)

    def log(self, *lines: str) -> None:
        """Have the build print lines, as repo2docker does."""
        for line in lines:
            self._do(lambda line=line: self.builder.put(Record("repo2docker", line)))  # type: ignore[misc]

    def say(self, message: str, phase: str = "building") -> None:
        """Have repo2docker say something in its JSON."""
        self.log(json.dumps({"message": message, "phase": phase}))

    def play(self, stream: str) -> None:
        """Have the build print a recorded stream."""
        self.log(*(STREAMS / stream).read_text().splitlines(keepends=True))

    def built(self, *, found: bool = False) -> None:
        """End the build well."""
        self._do(lambda: self.builder.put(BuildResult("image", found)))

    def prepared(self, what: str, label: str) -> None:
        """Have something done for the server while the build goes on, since the launch began."""

        async def prepare() -> None:
            self.builder.prepared.put_nowait(Prepared(what, label, 3600.0))
            await self.builder.prepared.join()

        asyncio.run_coroutine_threadsafe(prepare(), self._loop).result(30)

    def fail(self, reason: str, message: str = "") -> None:
        """End the build badly."""
        self._do(lambda: self.builder.put(failure(reason, message)))

    def fail_start(self, reason: str) -> None:
        """End the start of the server badly."""
        self._do(lambda: self.launcher.put(failure(reason)))

    def hub(self, **event: Any) -> None:
        """Have the Hub tell of its progress."""
        self._do(lambda: self.launcher.put(Record("jupyterhub", event)))

    def play_hub(self, stream: str) -> None:
        """Have the Hub tell a recorded stream but for its end."""
        for data in re.findall(r"^data: ({.*})", (STREAMS / stream).read_text(), re.MULTILINE):
            event = json.loads(data)
            if not event.get("ready") and not event.get("failed"):
                self.hub(**event)

    def serve(self, url: str = "", token: str = "secret-token") -> None:  # noqa: S107 - of a test
        """Have the server answer; by default the front page stands for it."""
        served = RunningServer(url or f"{self.url}?server", token)
        self._do(lambda: self.launcher.put(served))

    def forget(self, launch_id: str) -> None:
        """Have the server forget a launch that is over, and its store as well."""

        async def forget() -> None:
            launch = self.launches.get(launch_id)
            while launch_id in self.launches._running.tasks:
                await asyncio.wait([self.launches._running.tasks[launch_id]])
            self.launches._directory.forget(launch)
            store = self.launches._ledger.store
            assert store is not None
            await store.drop(launch.lease)

        asyncio.run_coroutine_threadsafe(forget(), self._loop).result(30)

    async def close(self) -> None:
        self._server.stop()
        await self.launches.close()
        await self._server.close_all_connections()


@contextmanager
def stage(
    channels: ChannelStore | None = None, *, builder: PlayedBuilder | None = None, **config: Any
) -> Iterator[Stage]:
    """Run the server in another thread. Launches are in memory, or in a given store."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def call(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    async def make() -> Stage:
        made = Stage(
            loop, Config(config), channels or MemoryChannelStore(), builder or PlayedBuilder()
        )
        await made.launches.open()
        return made

    made: Stage = call(make())
    try:
        yield made
    finally:
        call(made.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
