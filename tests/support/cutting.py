"""A TCP proxy that cuts connections: faults over real sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType


class CuttingProxy:
    """Forwards connections to a port on loopback, until it cuts them.

    Parameters
    ----------
    target : int
        The port behind it.
    every : float or None
        Seconds after which it cuts each connection; None: only on `cut`.
    """

    def __init__(self, target: int, *, every: float | None = None) -> None:
        self.target = target
        self.every = every
        self.port = 0
        self.connections = 0
        """How many there have been."""
        self.hears: Callable[[bytes], bool] = lambda _: True
        """Gets each piece of an answer, and says whether it is passed on."""
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> CuttingProxy:
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

    def cut(self) -> None:
        """Cut every connection, in the middle of whatever it is."""
        for writer in tuple(self._open):
            writer.transport.abort()

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
        self._open.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            self._open.discard(writer)
            return
        try:
            await asyncio.gather(_pipe(reader, back), self._answer(there, writer))
        except OSError:
            pass  # cut, by us or by either end: the other end learns of it below
        finally:
            self._open.discard(writer)
            writer.transport.abort()
            back.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # From the answer's first byte on: what nobody has begun to hear cannot be gone on with.
        first = await reader.read(65536)
        timer = None
        if self.every is not None:
            timer = asyncio.get_running_loop().call_later(self.every, writer.transport.abort)
        try:
            if self.hears(first):
                writer.write(first)
            await _pipe(reader, writer, lambda data: self.hears(data))
        finally:
            if timer is not None:
                timer.cancel()


async def _pipe(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    passes: Callable[[bytes], bool] = lambda _: True,
) -> None:
    while data := await reader.read(65536):
        if passes(data):
            writer.write(data)
            await writer.drain()
    if writer.can_write_eof() and not writer.is_closing():
        writer.write_eof()


@contextmanager
def cutting_in_thread(target: int, *, every: float | None = None) -> Iterator[CuttingProxy]:
    """Run a proxy beside a test that has no event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    proxy = CuttingProxy(target, every=every)
    asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result(10)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
