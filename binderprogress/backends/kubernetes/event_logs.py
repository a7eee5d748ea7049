"""Reads BinderHub's event logs, from files and over HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from ...core.kubernetes.ranking import EventCounter

__all__ = ["EventLogs"]

_DATE = "{date}"
_LARGEST = 512 * 2**20
_LONGEST_LINE = 64 * 2**10
_CHUNK = 2**20
_MOST_REDIRECTS = 5
_TIMEOUT = aiohttp.ClientTimeout(total=300.0, sock_connect=15.0, sock_read=60.0)


class EventLogs:
    """Event logs that are read again when they may have changed.

    Parameters
    ----------
    sources : sequence of str
        Files or URLs. ``{date}`` stands for the date of each day.
    days : int
        Number of days for sources with a date.
    log : logging.Logger
    """

    def __init__(
        self,
        sources: Sequence[str],
        *,
        days: int,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._sources = sources
        self._days = days
        self._log = log
        # Logs of days that are over.
        self._read: dict[str, EventCounter] = {}

    async def read(self, now: float) -> list[EventCounter]:
        """Return the launches in all logs. What cannot be read is left out, and logged.

        Parameters
        ----------
        now : float
            Seconds since 1970.
        """
        today = datetime.fromtimestamp(now, UTC).date()
        # That of yesterday may be published late.
        still_open = {today.isoformat(), (today - timedelta(days=1)).isoformat()}
        found: dict[str, EventCounter] = {}
        kept: dict[str, EventCounter] = {}
        for source in self._sources:
            for back in range(self._days if _DATE in source else 1):
                date = (today - timedelta(days=back)).isoformat()
                name = source.replace(_DATE, date)
                counter = self._read.get(name) or await self._count(name)
                if counter is not None:
                    found[name] = counter
                    if _DATE in source and date not in still_open:
                        kept[name] = counter
        self._read = kept
        return list(found.values())

    async def _count(self, name: str) -> EventCounter | None:
        counter, size = EventCounter(), 0
        lines = _fetched(name) if name.startswith(("http://", "https://")) else _lines_of(name)
        try:
            async with aclosing(lines):
                async for line in lines:
                    size += len(line)
                    if size > _LARGEST:
                        self._log.warning("%s is only read to %d bytes.", name, _LARGEST)
                        break
                    if line.strip():
                        counter.add(line)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            self._log.warning("The event log %s cannot be read: %s", name, error or "no answer")
            return None
        if counter.skipped:
            self._log.info("%d lines of %s are no launch with a commit.", counter.skipped, name)
        return counter


async def _lines_of(name: str) -> AsyncGenerator[bytes]:
    with await asyncio.to_thread(Path(name).open, "rb") as file:
        while lines := await asyncio.to_thread(file.readlines, _CHUNK):
            for line in lines:
                yield line


async def _fetched(url: str) -> AsyncGenerator[bytes]:
    async with (
        aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session,
        session.get(url, max_redirects=_MOST_REDIRECTS, raise_for_status=True) as answer,
    ):
        rest = b""
        async for chunk in answer.content.iter_chunked(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line
            # Attack: one line without end.
            if len(rest) > _LONGEST_LINE:
                raise ValueError("a line is too long")
        yield rest
