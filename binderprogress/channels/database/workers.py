"""A few threads that the interpreter does not wait for when it exits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

__all__ = ["Workers"]

T = TypeVar("T")


class Workers:
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
