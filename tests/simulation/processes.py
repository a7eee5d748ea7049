"""Server processes, which can be killed, paused, and replaced by others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from .loop import PROCESS, VirtualLoop

__all__ = ["Died", "Process"]

T = TypeVar("T")


class Died(Exception):  # noqa: N818 - it is what happened, and not an error of the test
    """The process was killed before it answered."""


class Process:
    """A process; see `loop.Owner`.

    Parameters
    ----------
    loop : VirtualLoop
    name : str
    """

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self.name = name
        self.steps = 0
        self.crash_at = -1
        self.is_dead = False
        self.held: list[asyncio.Handle] | None = None
        self.at_death: list[Callable[[], None]] = []
        """Called when it is killed, by the world."""
        self.logs: list[Any] = []
        """The logs of its builds, see `replaced.Log`."""
        self.died: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._context = Context()
        self._context.run(PROCESS.set, self)

    @property
    def is_paused(self) -> bool:
        return self.held is not None

    @property
    def answers(self) -> bool:
        """Whether whoever asks it something gets an answer."""
        return not self.is_dead and self.held is None

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine in it."""
        return self._loop.create_task(work, context=self._context.copy())

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Ask it something, and wait for the answer.

        Raises
        ------
        Died
            If it is killed before.
        """
        if self.is_dead:
            work.close()
            raise Died
        task = self.start(work)
        await asyncio.wait([task, self.died], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Died
        return task.result()

    def soon(self, call: Callable[..., Any], *args: Any) -> None:
        """Call something in it, as soon as it runs."""
        self._loop.call_soon(call, *args, context=self._context.copy())

    def crash(self) -> None:
        """End it as SIGKILL does."""
        if self.is_dead:
            return
        self.is_dead = True
        self.held = None
        if not self.died.done():
            self.died.set_result(None)
        for call in self.at_death:
            call()

    def pause(self) -> None:
        """Stop it as SIGSTOP does."""
        if self.held is None and not self.is_dead:
            self.held = []

    def wake(self) -> None:
        """Continue it as SIGCONT does."""
        if self.held is not None:
            held, self.held = self.held, None
            self._loop.resume(held)
