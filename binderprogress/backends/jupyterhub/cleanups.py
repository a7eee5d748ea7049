"""Servers and users that are still to be removed from a JupyterHub."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import stamina

from ...errors import BinderProgressError
from .api import NoAnswerError

__all__ = ["Cleanup", "Cleanups"]

_LONGEST_PAUSE = 300.0
"""Maximum seconds between two attempts."""

_RETRIED = (BinderProgressError, NoAnswerError)

_MOST = 10_000
"""Maximum number of outstanding clean-ups.

Attack: launches that are started and cancelled while JupyterHub is away.
"""

_MOST_AT_ONCE = 8
"""Maximum number of clean-ups that are retried at the same time, so that JupyterHub is not flooded
when it is back."""


class Cleanup(msgspec.Struct, frozen=True):
    """A server that is to be stopped and removed, and maybe its user.

    Attributes
    ----------
    user, server : str
        Their names, quoted for a path.
    with_user : bool
        Whether the user was made for the launch, and is removed, too.
    """

    user: str
    server: str
    with_user: bool

    def __str__(self) -> str:
        return f"The server {self.user}/{self.server}"


class Cleanups:
    """Removes servers and users in the background, and retries until that is done.

    A clean-up is removed from `outstanding` when JupyterHub has confirmed it.

    Parameters
    ----------
    remove : callable
        Removes what a clean-up names. It raises an exception if that is not done.
    pause : float
        Seconds before the second attempt. The pause doubles with each attempt, up to 5 minutes.
    log : logging.Logger
    """

    def __init__(
        self,
        remove: Callable[[Cleanup], Awaitable[None]],
        *,
        pause: float,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._remove = remove
        self._pause = pause
        self._log = log
        self._tasks: dict[Cleanup, asyncio.Task[None]] = {}
        self._first: dict[Cleanup, asyncio.Future[None]] = {}
        self._slots = asyncio.Semaphore(_MOST_AT_ONCE)

    def outstanding(self) -> list[Cleanup]:
        """List the clean-ups that are not done, the oldest first."""
        return list(self._tasks)

    async def run(self, cleanup: Cleanup) -> None:
        """Add a clean-up, and wait for its first attempt.

        Raises
        ------
        Exception
            If the attempt fails. The clean-up goes on, also if this is cancelled.
        """
        first = self.add(cleanup)
        # Shielded, because others may wait for it, too.
        await asyncio.shield(first)

    def add(self, cleanup: Cleanup) -> asyncio.Future[None]:
        """Start a clean-up, unless it has started.

        Returns
        -------
        asyncio.Future
            The result of the first attempt.
        """
        if cleanup not in self._tasks:
            self._make_room()
            first = asyncio.get_running_loop().create_future()
            # Maybe nobody waits for it.
            first.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._first[cleanup] = first
            task = asyncio.create_task(self._run(cleanup), name=f"clean-up of {cleanup.user}")
            self._tasks[cleanup] = task
            task.add_done_callback(lambda done: self._done(cleanup, done))
        return self._first[cleanup]

    async def done(self, cleanup: Cleanup) -> bool:
        """Wait for the end of a clean-up, and return whether it is done: it may be given up."""
        task = self._tasks.get(cleanup)
        if task is None:
            return True
        await asyncio.wait([task])
        return not task.cancelled() and task.exception() is None

    async def close(self) -> None:
        """Give up what is outstanding, and log it."""
        for cleanup in self._tasks:
            self._log.warning("%s may be left running.", cleanup)
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _make_room(self) -> None:
        if len(self._tasks) >= _MOST:
            oldest, task = next(iter(self._tasks.items()))
            self._log.error("Too many clean-ups: %s may be left running.", oldest)
            self._forget(oldest)
            task.cancel()

    def _forget(self, cleanup: Cleanup) -> None:
        del self._tasks[cleanup]
        self._first.pop(cleanup).cancel()

    def _done(self, cleanup: Cleanup, task: asyncio.Task[None]) -> None:
        if self._tasks.get(cleanup) is task:
            self._forget(cleanup)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("%s may be left running.", cleanup, exc_info=error)

    async def _run(self, cleanup: Cleanup) -> None:
        first = self._first[cleanup]
        try:
            await self._remove(cleanup)
        except Exception as error:
            first.set_exception(error)
            if not isinstance(error, _RETRIED):
                raise
        else:
            first.set_result(None)
            return
        retries = stamina.retry_context(
            on=_RETRIED,
            attempts=None,
            timeout=None,
            wait_initial=self._pause,
            wait_jitter=self._pause,
            wait_max=_LONGEST_PAUSE,
        )
        await asyncio.sleep(self._pause)
        async for attempt in retries:
            with attempt:
                async with self._slots:
                    await self._remove(cleanup)
        self._log.info("Cleaned up after %s, at attempt %d.", cleanup, attempt.num + 1)
