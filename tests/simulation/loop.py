"""An event loop without sockets, threads and real time, in which a test decides what happens when.

Nothing runs at the same time, and nothing takes time: the clock stands until everything that is
ready has run, and then moves to the next timer. Equal seeds give equal runs.

Whatever runs belongs to a process, or to the world around them (`PROCESS`). A process that was
killed runs no more: its tasks stay as they are, without their `finally`.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context, ContextVar
from random import Random
from typing import Any, Protocol, TypeVar

__all__ = ["PROCESS", "Owner", "StuckError", "VirtualLoop"]

T = TypeVar("T")


class StuckError(AssertionError):
    """Nothing is ready and nothing will be, or it takes too long."""


class Owner(Protocol):
    """A process, as the loop sees it."""

    steps: int
    """How many callbacks it has run."""
    crash_at: int
    """The step before which it is killed; -1: never."""
    is_dead: bool
    held: list[asyncio.Handle] | None
    """What became ready while it was paused; None: it is not paused."""

    def crash(self) -> None:
        """Kill it."""
        ...


PROCESS: ContextVar[Owner | None] = ContextVar("PROCESS", default=None)
"""The process that runs. None is the world: people, the Hub, the database."""


class _Handle(asyncio.Handle):
    """A handle that takes less time to make, because the loop has no debug mode."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        loop: VirtualLoop,
        context: Context | None,
    ) -> None:
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


class _Timer(asyncio.TimerHandle):
    """A timer that takes less time to make and to cancel. The loop passes over cancelled ones."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        loop: VirtualLoop,
        context: Context | None,
    ) -> None:
        self._when = when
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None

    def cancel(self) -> None:
        self._cancelled = True
        self._callback = self._args = None


class VirtualLoop(asyncio.AbstractEventLoop):
    """The loop.

    Parameters
    ----------
    random : Random
        Orders timers that are due at the same time.
    limit : float
        Seconds after which `run` gives up.
    """

    def __init__(self, random: Random, *, limit: float) -> None:
        self.now = 0.0
        self.steps = 0
        self.problems: list[str] = []
        """What was reported to the exception handler."""
        self._random = random.random
        self._limit = limit
        self._tasks: list[asyncio.Task[Any]] = []
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, float, int, asyncio.TimerHandle]] = []
        self._count = 0

    # -- running

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run until a coroutine of the world has ended, and return its result.

        Raises
        ------
        StuckError
            If it can never end, or did not within the limit.
        """
        task = self.create_task(main, context=Context())
        ready = self._ready
        asyncio._set_running_loop(self)
        try:
            while not task.done():
                if not ready:
                    self._advance()
                handle = ready.popleft()
                if handle._cancelled:
                    continue
                context = handle._context
                process = context.get(PROCESS)
                if process is not None and not self._lets_run(process, handle):
                    continue
                self.steps += 1
                try:
                    # Not `Handle._run`: this takes most of the time that the loop takes.
                    context.run(handle._callback, *handle._args)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
                    self.call_exception_handler(
                        {"message": "A callback failed", "exception": error}
                    )
        finally:
            asyncio._set_running_loop(None)
        return task.result()

    def _lets_run(self, process: Owner, handle: asyncio.Handle) -> bool:
        """Whether a process goes on with a step. It may be killed instead."""
        if process.is_dead:
            return False
        if process.held is not None:
            process.held.append(handle)
            return False
        if process.steps == process.crash_at:
            process.crash()
            return False
        process.steps += 1
        return True

    def _advance(self) -> None:
        """Move the clock to the next timer."""
        timers, ready = self._timers, self._ready
        while timers and timers[0][3].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise StuckError("Nothing will ever happen again.")
        self.now = max(self.now, timers[0][0])
        if self.now > self._limit:
            raise StuckError(f"It is not over after {self._limit:g} seconds.")
        while timers and timers[0][0] <= self.now:
            ready.append(heapq.heappop(timers)[3])

    def resume(self, handles: list[asyncio.Handle]) -> None:
        """Make callbacks ready that were held back."""
        self._ready.extend(handles)

    # -- what asyncio calls

    def time(self) -> float:
        return self.now

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        when = self.now + delay
        timer = _Timer(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._random(), self._count, timer))
        return timer

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_later(when - self.now, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, **options)
        # One that is never resumed must not be collected: its `finally` would run.
        self._tasks.append(task)
        return task

    def run_in_executor(
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run a function in a later step, as if a thread had done it."""
        future: asyncio.Future[T] = self.create_future()

        def work() -> None:
            if future.done():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001 - whatever it raises belongs to the caller
                future.set_exception(error)

        self.call_later(self._random() * 0.01, work)
        return future

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.problems.append(f"{context.get('message')}: {error!r}")
