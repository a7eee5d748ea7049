"""Brings windows up to date with the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from ...errors import StorageError
from .reader import Reader
from .window import News, Window
from .windows import Windows

__all__ = ["Mirrors"]

_INTERVAL = 0.02
"""Minimum seconds between the beginnings of two queries. Replicas commit as often."""

_RETRY = 1.0
"""Seconds after which the database is asked again if it failed."""

_UNKNOWN = 2**62


class Mirrors:
    """Reads what is new in watched channels that others write, as one query for all of them.

    Parameters
    ----------
    windows : Windows
    reader : Reader
    log : logging.Logger
    """

    def __init__(
        self,
        windows: Windows,
        reader: Reader,
        *,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._windows = windows
        self._reader = reader
        self._log = log
        self._stale: set[str] = set()
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="channel mirrors")

    def refresh(self, ids: Iterable[str]) -> None:
        """Bring windows up to date soon."""
        self._stale.update(ids)
        self._wake.set()

    async def close(self) -> None:
        """Stop."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        failed = False
        time, due = asyncio.get_running_loop().time, 0.0
        while True:
            await self._wake.wait()
            if (pause := due - time()) > 0:
                await asyncio.sleep(pause)
            due = time() + _INTERVAL
            self._wake.clear()
            stale, self._stale = self._stale, set()
            try:
                await self._refresh(stale)
            except StorageError as error:
                if not failed:
                    self._log.warning("Events of other replicas cannot be read: %s", error)
                failed = True
                self.refresh(stale)
                await asyncio.sleep(_RETRY)
            else:
                failed = False

    async def _refresh(self, stale: set[str]) -> None:
        known = {}
        # Those beside them that do not exist yet are among them: what is known of others must not
        # be newer, see `durable.DurableStore.extents`.
        for channel_id in self._windows.with_awaited(stale):
            window = self._windows.get(channel_id)
            if window is not None:
                # Of a channel that is new here, only the extent is wanted.
                known[channel_id] = _UNKNOWN if window.first is None else window.last
        if not known:
            return
        found = await self._reader.news(known, self._windows.size)
        changed: list[tuple[str, Window]] = []
        for channel_id in known:
            window, news = self._windows.get(channel_id), found.get(channel_id)
            state = news.state if news is not None else None
            is_new = self._windows.compared(channel_id, state)
            if window is not None and news is not None:
                is_new = _update(window, news) or is_new
            if window is not None and is_new:
                changed.append((channel_id, window))
        # Once all are up to date: who follows several channels sees them as of the same moment.
        for channel_id, window in changed:
            if self._windows.get(channel_id) is window:
                self._notify(channel_id, window)

    def _notify(self, channel_id: str, window: Window) -> None:
        try:
            window.notify()
        except Exception:  # noqa: BLE001 - a listener must not keep others from their events
            self._log.exception("A listener of a channel failed")
        if window.closed and not window.listeners:
            self._windows.forget(channel_id)


def _update(window: Window, news: News) -> bool:
    """Add news to a window. Return whether there was any."""
    last = window.last
    if window.first is not None and news.events:
        window.extend(news.events)
    state = news.state
    return window.describe(state.first, state.last, closed=state.closed) or window.last > last
