"""A manager whose builds print what a test tells them to, each commit its own."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from binderprogress.backends.base import (
    Attempt,
    BackendProfile,
    BuildResult,
    LaunchRequest,
    PairedBackend,
    ResolvedSpec,
    RunningServer,
)
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.log.reader import Record
from binderprogress.core.log.reasons import failure
from binderprogress.core.phases import Phase
from binderprogress.core.specs import Spec, parse
from binderprogress.launches import Caller, Launch, LaunchManager
from binderprogress.launches.launch_log import log_of

from ..launches.parts import WITHIN

_END = object()


class Printer:
    """A builder: each commit has a queue of lines, and its build fails when it is told to."""

    profile = BackendProfile(typical={Phase.WAITING: 1.0, Phase.BUILDING: 20.0})

    def __init__(self) -> None:
        self._queues: defaultdict[str, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)

    def print(self, spec: Spec, lines: Iterable[str]) -> None:
        """Have the build of a spec print lines as fast as it can."""
        self._queues[str(spec)].put_nowait(lines)

    def end(self, spec: Spec) -> None:
        """Have it fail once it has printed all."""
        self._queues[str(spec)].put_nowait(_END)

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        return ResolvedSpec(spec, hashlib.sha1(str(spec).encode()).hexdigest())  # noqa: S324 - a name

    async def build(
        self, target: ResolvedSpec
    ) -> AsyncGenerator[Record | Attempt | BuildResult, None]:
        queue = self._queues[str(target.spec)]
        while (lines := await queue.get()) is not _END:
            for line in lines:
                text = json.dumps({"phase": "building", "message": line})
                yield Record("repo2docker", text + "\n")
        raise failure("build-failed", "The launch failed.")
        yield  # a generator, though nothing comes here


class NoLauncher:
    """No build comes to its end well, so nothing is spawned."""

    async def launch(
        self, request: LaunchRequest
    ) -> AsyncGenerator[Record | Attempt | RunningServer, None]:
        raise failure("hub-unreachable")
        yield  # a generator, though nothing comes here

    async def stop(self, request: LaunchRequest) -> None:
        pass

    async def close(self) -> None:
        pass


def spec(number: int | str) -> Spec:
    """Return the spec of one of many repositories."""
    return parse(f"gh/mallory/repository-{number}/HEAD")


def lines(count: int, text: str = "a line of a log that somebody makes long") -> Iterable[str]:
    """Return lines of a log."""
    return (f"{text} {number}\n" for number in range(count))


class Server:
    """A manager, and its builder."""

    def __init__(self, **settings: Any) -> None:
        self.builder = Printer()
        self.manager = LaunchManager(
            channels=MemoryChannelStore(),
            backend=PairedBackend(self.builder, NoLauncher()),
            **settings,
        )

    async def start(self, number: int | str, ip: str = "") -> Launch:
        return await self.manager.start(spec(number), Caller(ip=ip))

    async def run(self, number: int | str, output: Iterable[str]) -> Launch:
        """Start a launch whose build prints something and fails; return it when it is over."""
        launch = await self.start(number)
        self.builder.print(launch.spec, output)
        self.builder.end(launch.spec)
        await self.over(launch)
        return launch

    async def over(self, *launches: Launch) -> None:
        """Await the end of launches."""
        await reached(*launches, wanted=lambda launch: launch.id not in self.manager._running.tasks)
        # What comes after their end is done in turns.
        for _ in range(3):
            await asyncio.sleep(0)


async def logged(launch: Launch, text: bytes) -> bool:
    """Whether the log of a launch has some text."""
    return any([text in chunk async for chunk in log_of(launch)])


async def _value(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def reached(*launches: Launch, wanted: Any) -> None:
    """Await something of launches, without being one of their viewers."""
    async with asyncio.timeout(3 * WITHIN):
        while not all([await _value(wanted(launch)) for launch in launches]):  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Server]:
    """Run a manager, and close it."""
    server = Server(**settings)
    try:
        yield server
    finally:
        await server.manager.close()
