"""Threads for calls that may never return, such as queries of a database that hangs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["DaemonThreads"]

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
