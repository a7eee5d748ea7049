"""Real parts that tests control: a repository's postBuild, and a host that does not answer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import pytest
from tornado.ioloop import IOLoop

from binderprogress.core.events import Event
from binderprogress.core.specs import Spec, from_address
from binderprogress.launches import Launch, launch_log

from ..support.repositories import repository

WITHIN = 120.0
"""Maximum seconds to wait for anything. Machines may be slow."""

gen_test = pytest.mark.gen_test(timeout=240)

# A repository without requirements. uv refuses to install nothing at all.
NOTHING = {"requirements.txt": ""}

_POST_BUILD = """\
#!/bin/bash
{before}
exec 3<>/dev/tcp/127.0.0.1/{port}
echo $$ >&3
cat <&3
exit {status}
"""


@pytest.fixture
def io_loop() -> Iterator[IOLoop]:
    """pytest-tornado's loop, without deprecated calls. Unhandled errors fail the test."""
    io_loop = IOLoop(make_current=False)
    loop = io_loop.asyncio_loop
    asyncio.set_event_loop(loop)
    problems: list[str] = []
    loop.set_exception_handler(lambda _, context: problems.append(str(context)))
    yield io_loop
    remaining = asyncio.all_tasks(loop)
    for task in remaining:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*remaining, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    io_loop.close(all_fds=True)
    asyncio.set_event_loop(None)
    assert problems == [], problems


Advance = Callable[[float], Awaitable[None]]


@pytest.fixture
def advance(io_loop: IOLoop, monkeypatch: pytest.MonkeyPatch) -> Advance:
    """Let seconds pass for the event loop at once; its timers that are due then have run."""
    loop = io_loop.asyncio_loop
    now, passed = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: now() + passed)

    async def advance(seconds: float) -> None:
        nonlocal passed
        passed += seconds
        # The timers become due in the first turn, and run before the second one ends.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    return advance


class FedBuild:
    """A build that prints the lines that a test sends, until `finish`."""

    def __init__(self, pid: int, writer: asyncio.StreamWriter) -> None:
        self.process = psutil.Process(pid)
        self._writer = writer

    async def write(self, text: str | bytes) -> None:
        """Have its postBuild print a text."""
        self._writer.write(text.encode() if isinstance(text, str) else text)
        await asyncio.wait_for(self._writer.drain(), WITHIN)

    def finish(self) -> None:
        """Have its postBuild end."""
        self._writer.close()

    async def gone(self) -> bool:
        """Wait for the end of its process."""
        _, alive = await asyncio.to_thread(psutil.wait_procs, [self.process], WITHIN)
        return not alive


class Feed:
    """A repository whose postBuild connects to the test, and prints what it receives.

    Parameters
    ----------
    folder : Path
        Where the repository is made.
    status : int
        How postBuild exits.
    before : str
        A line of bash that it begins with.
    """

    def __init__(self, folder: Path, *, status: int = 0, before: str = ":") -> None:
        self.folder = folder
        self._status = status
        self._before = before
        self._builds: asyncio.Queue[FedBuild] = asyncio.Queue()
        self._server: asyncio.Server | None = None

    @property
    def spec(self) -> Spec:
        """The spec of the repository."""
        return local(self.folder)

    async def __aenter__(self) -> Feed:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        script = _POST_BUILD.format(
            before=self._before,
            port=self._server.sockets[0].getsockname()[1],
            status=self._status,
        )
        repository(self.folder, {**NOTHING, "postBuild": script})
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()

    async def build(self) -> FedBuild:
        """Wait for the next build that runs its postBuild."""
        return await asyncio.wait_for(self._builds.get(), WITHIN)

    @property
    def waiting(self) -> int:
        """The number of builds that the test has not waited for."""
        return self._builds.qsize()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._builds.put_nowait(FedBuild(int(await reader.readline()), writer))


class SilentHost:
    """A host that accepts connections and never answers, so that requests do not end."""

    def __init__(self) -> None:
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self._asked = asyncio.Event()
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> SilentHost:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.hang_up()

    @property
    def url(self) -> str:
        """Its address."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    @property
    def spec(self) -> Spec:
        """A spec of another repository with each call. Resolving it takes until `hang_up`."""
        return from_address(f"{self.url}repository-{next(self._numbers)}")

    async def asked(self) -> None:
        """Wait for the first request."""
        await asyncio.wait_for(self._asked.wait(), WITHIN)

    def hang_up(self) -> None:
        """Close all connections, and accept no more."""
        assert self._server is not None
        self._server.close()
        while self._writers:
            self._writers.pop().transport.abort()

    async def _take(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._asked.set()


def local(folder: Path, ref: str = "") -> Spec:
    """Return the spec of a local repository."""
    return from_address(folder.as_uri(), ref)


@contextmanager
def watching(launch: Launch) -> Iterator[None]:
    """Count as a viewer of a launch."""
    launch.join()
    try:
        yield
    finally:
        launch.leave()


async def follow(launch: Launch) -> AsyncGenerator[Event, None]:
    """Watch a launch, and iterate over all of its events."""
    changed = asyncio.Event()
    launch.changed.add(changed.set)
    position = 0
    try:
        with watching(launch):
            while not (launch.closed and launch.last.id <= position):
                changed.clear()
                for encoded in await launch.read(position):
                    position = encoded.event.id
                    yield encoded.event
                if launch.last.id <= position and not launch.closed:
                    await changed.wait()
    finally:
        launch.changed.remove(changed.set)


async def until(launch: Launch, wanted: Callable[[Event], bool]) -> Event:
    """Watch a launch until an event matches, and return it."""
    async with asyncio.timeout(WITHIN), aclosing(follow(launch)) as events:
        async for event in events:
            if wanted(event):
                return event
    raise AssertionError(f"{launch} ended before: {launch.last}")


async def events_of(launch: Launch) -> list[Event]:
    """Watch a launch to its end, and return all of its events."""
    await until(launch, lambda event: event.terminal)
    return [encoded.event for encoded in await launch.read(0, limit=10**6)]


async def unwatched(launch: Launch, wanted: Callable[[Launch], bool]) -> None:
    """Wait for a condition of a launch, without being a viewer."""
    changed = asyncio.Event()
    launch.changed.add(changed.set)
    launch.watched.add(changed.set)
    try:
        async with asyncio.timeout(WITHIN):
            while not wanted(launch):
                changed.clear()
                await changed.wait()
    finally:
        launch.changed.remove(changed.set)
        launch.watched.remove(changed.set)


def said(message: str) -> Callable[[Event], bool]:
    """Return a condition: whether an event contains a text."""
    return lambda event: message in event.message


def children_named(text: str) -> list[psutil.Process]:
    """Return our child processes with `text` in their command line."""
    processes = []
    for process in psutil.Process().children(recursive=True):
        try:
            if text in " ".join(process.cmdline()):
                processes.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return processes


async def log_of(launch: Launch) -> str:
    """Return the full log of a launch."""
    return b"".join([chunk async for chunk in launch_log.log_of(launch)]).decode()


def keys(events: list[Event]) -> list[int]:
    """Return the numbers of events."""
    return [event.id for event in events]


def config(**sections: Mapping[str, Any]) -> Any:
    """Return a configuration from its sections."""
    from traitlets.config import Config

    return Config({name: Config(values) for name, values in sections.items()})
