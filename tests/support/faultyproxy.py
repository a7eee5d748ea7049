"""A TCP proxy with faults: it cuts, stalls, drops, holds back and delays what it forwards."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


class Mode(Enum):
    """What happens to the bytes of a connection, in both directions."""

    PASS = auto()
    STALL = auto()
    """They are not read, so that the sender blocks once all buffers are full."""
    DROP = auto()
    """They are read and dropped, and so is the end: each side believes that the other one is there,
    as behind a router that has lost the connection."""
    HOLD = auto()
    """They are read and kept until another mode is set, and then sent at once."""


class Connection:
    """A connection through the proxy.

    Attributes
    ----------
    latency : float
        Seconds for which bytes are delayed.
    """

    def __init__(self, mode: Mode, latency: float) -> None:
        self.latency = latency
        self._mode = mode
        self._changed = asyncio.Event()
        self._is_cut = False
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def mode(self) -> Mode:
        """What happens to its bytes."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        self._notify()

    def cut(self) -> None:
        """Close both sides, in the middle of whatever it is."""
        self._is_cut = True
        self._notify()
        for writer in self._writers:
            writer.transport.abort()

    def add(self, writer: asyncio.StreamWriter) -> None:
        """Add one of its two sides."""
        self._writers.append(writer)

    async def pipe(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passes: Callable[[bytes], bool],
    ) -> None:
        """Forward one direction until its end.

        Parameters
        ----------
        reader : StreamReader
        writer : StreamWriter
        passes : callable
            Gets each piece, and says whether it is forwarded.
        """
        pieces: deque[bytes] = deque()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(reader, pieces))
            group.create_task(self._write(pieces, writer, passes))

    async def _read(self, reader: asyncio.StreamReader, pieces: deque[bytes]) -> None:
        data = b"nothing yet"
        while data:
            while self.mode is Mode.STALL or (self.mode is Mode.PASS and pieces):
                await self._change()
            data = await reader.read(65536)
            if not data or self.mode is not Mode.DROP:
                pieces.append(data)
                self._notify()

    async def _write(
        self, pieces: deque[bytes], writer: asyncio.StreamWriter, passes: Callable[[bytes], bool]
    ) -> None:
        while True:
            while not pieces or self.mode is not Mode.PASS:
                await self._change()
            if self.latency:
                await asyncio.sleep(self.latency)
            data = pieces.popleft()
            self._notify()
            if not data:
                break
            if passes(data):
                writer.write(data)
                await writer.drain()
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()

    async def _change(self) -> None:
        if not self._is_cut:
            await self._changed.wait()
        if self._is_cut:
            raise ConnectionAbortedError

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class FaultyProxy:
    """Forwards connections to a port on loopback.

    Parameters
    ----------
    target : int
        The port behind it.
    every : float or None
        Seconds after which it cuts each connection; None: only on `cut`.

    Attributes
    ----------
    connections : int
        How many there have been.
    open : list of Connection
        Those that are open, the newest last.
    refuses : bool
        Whether new connections are reset.
    hears : callable
        Gets each piece of an answer, and says whether it is passed on.
    """

    def __init__(self, target: int, *, every: float | None = None) -> None:
        self.target = target
        self.every = every
        self.port = 0
        self.connections = 0
        self.open: list[Connection] = []
        self.refuses = False
        self.hears: Callable[[bytes], bool] = lambda _: True
        self._mode = Mode.PASS
        self._latency = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> FaultyProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def set(self, mode: Mode | None = None, *, latency: float | None = None) -> None:
        """Change all connections, and those to come."""
        if latency is not None:
            self._latency = latency
        self._mode = mode or self._mode
        for connection in self.open:
            connection.latency = self._latency
            if mode is not None:
                connection.mode = mode

    def cut(self) -> None:
        """Cut every connection, in the middle of whatever it is."""
        for connection in tuple(self.open):
            connection.cut()

    def soon(self, work: Callable[[], object]) -> None:
        """Call something in the proxy's event loop, from any thread, and wait for it."""

        async def call() -> None:
            work()

        assert self._server is not None
        asyncio.run_coroutine_threadsafe(call(), self._server.get_loop()).result(10)

    def cut_soon(self) -> None:
        """Cut every connection, from any thread."""
        assert self._server is not None
        self._server.get_loop().call_soon_threadsafe(self.cut)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        connection = Connection(self._mode, self._latency)
        connection.add(writer)
        self.open.append(connection)
        try:
            if not self.refuses:
                await self._forward(connection, reader, writer)
        except* OSError:
            pass  # cut, by us or by either end: the other end learns of it below
        finally:
            self.open.remove(connection)
            connection.cut()

    async def _forward(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        connection.add(back)
        began = False

        def hears(data: bytes) -> bool:
            nonlocal began
            if not began and self.every is not None:
                # From the answer's first byte on: what nobody has begun to hear cannot be gone on
                # with.
                asyncio.get_running_loop().call_later(self.every, connection.cut)
            began = True
            return self.hears(data)

        async with asyncio.TaskGroup() as group:
            group.create_task(connection.pipe(reader, back, lambda _: True))
            group.create_task(connection.pipe(there, writer, hears))


async def _cancel_all() -> None:
    """End what has begun since the proxy was closed, such as the last connection."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def proxy_in_thread(target: int, *, every: float | None = None) -> Iterator[FaultyProxy]:
    """Run a proxy beside a test that has no event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def call(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    proxy = FaultyProxy(target, every=every)
    call(proxy.__aenter__())
    try:
        yield proxy
    finally:
        call(proxy.__aexit__(None, None, None))
        call(_cancel_all())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
