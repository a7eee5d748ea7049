"""When channels store: once in each turn of the event loop, all that were written to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from ..channels.base import ChannelStore, Meter, PromptStore
from ..channels.durable import DurableStore
from .retries import Waiting, while_away

__all__ = ["Storing"]


class _Channel(Protocol):
    def store(self) -> None:
        """Store what was written."""

    def stop(self) -> None:
        """Store nothing any more."""


class Storing:
    """The channels of a server that store, and their tasks that wait for the store.

    Parameters
    ----------
    store : ChannelStore
    patience : float
        Seconds for which events wait in memory while the store is away.
    waiting : Waiting
        Counts what waits for the store.
    meter : Meter
        Counts the memory of all events.
    log : logging.Logger
        The operator's.
    """

    def __init__(
        self,
        store: ChannelStore,
        *,
        patience: float,
        waiting: Waiting,
        meter: Meter,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.store = store
        # Not for each channel: such a check takes 50 µs.
        self.durable = store if isinstance(store, DurableStore) else None
        """The store, if it outlives this process."""
        self.append_soon = store.append_soon if isinstance(store, PromptStore) else None
        self.meter = meter
        self.log = log
        self._patience = patience
        self._waiting = waiting
        # Both are dicts, which keep their order.
        self.channels: dict[_Channel, None] = {}
        """Those that are open."""
        self._written: list[_Channel] = []
        self._tasks: dict[asyncio.Task[None], None] = {}

    def store_soon(self, channel: _Channel) -> None:
        """Have a channel store what is written in this turn."""
        if not self._written:
            asyncio.get_running_loop().call_soon(self._store)
        self._written.append(channel)

    def _store(self) -> None:
        written, self._written = self._written, []
        for channel in written:
            channel.store()

    async def attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have the store do something; see `retries.while_away`."""
        await while_away(work, patience=self._patience, waiting=self._waiting, log=self.log)

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run something in the background."""
        task = asyncio.create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)
        return task

    async def close(self) -> None:
        """Cancel everything, and wait until it is over."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for channel in tuple(self.channels):
            channel.stop()
