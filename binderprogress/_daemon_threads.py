"""Threads for calls that may never return, such as queries of a database that hangs.

The interpreter does not wait for them when it exits. `DaemonThreads` refuses calls if too many have
not returned; `DaemonPool` keeps them in order, and suits many short ones.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

__all__ = ["DaemonPool", "DaemonThreads"]

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads:
    """Runs each call in a thread of its own, with a limit on their number.

    Unlike those of `asyncio.to_thread`, these threads do not keep others from getting one, and the
    interpreter does not wait for them when it exits.

    Parameters
    ----------
    name : str
        Name of the threads.
    most : int
        Maximum number of threads, including those that nobody waits for any more.
    timeout : float
        Seconds to wait for a call.
    """

    def __init__(self, name: str, *, most: int, timeout: float) -> None:
        self._name = name
        self._slots = threading.BoundedSemaphore(most)
        self._timeout = timeout

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of a call.

        Raises
        ------
        TimeoutError
            If it takes too long, or too many calls have not returned. A call that takes too long
            goes on; its result is dropped.
        """
        if not self._slots.acquire(blocking=False):
            raise TimeoutError(f"Too many {self._name} threads are waiting.")
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()

        def post(settle: Callable[[], None]) -> None:
            # First, so that the next call can have the thread's place.
            self._slots.release()
            try:
                loop.call_soon_threadsafe(lambda: None if result.done() else settle())
            except RuntimeError:
                return  # the loop is closed: nobody waits

        def work() -> None:
            try:
                value = call(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - whatever it raises belongs to the caller
                failure = error
                post(lambda: result.set_exception(failure))
            else:
                post(lambda: result.set_result(value))

        threading.Thread(target=work, name=self._name, daemon=True).start()
        async with asyncio.timeout(self._timeout):
            return await result


class DaemonPool:
    """Calls functions in threads, in the order in which they are given.

    Unlike `concurrent.futures.ThreadPoolExecutor`, its threads are daemons: a database that hangs
    does not keep the process from ending.

    Parameters
    ----------
    count : int
        Number of threads.
    name : str
        Name of the threads.
    """

    def __init__(self, count: int, name: str) -> None:
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._count = count
        self._name = name
        self._started = False

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have a function called soon."""
        if not self._started:
            self._started = True
            for _ in range(self._count):
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
        future: Future[T] = Future()
        self._queue.put((future, work))
        return future

    def close(self) -> None:
        """Cancel what has not begun, and end the threads when they are done."""
        try:
            while (item := self._queue.get_nowait()) is not None:
                item[0].cancel()
        except Empty:
            pass
        for _ in range(self._count):
            self._queue.put(None)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            future, work = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                future.set_exception(error)
            else:
                future.set_result(result)
            # Nothing of it is kept until the next one comes.
            del item, future, work
