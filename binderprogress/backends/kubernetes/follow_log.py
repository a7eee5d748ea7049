"""Follows the log of a container across cuts, without gap or duplicate."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from .api import CUT, KubeApi, KubeError

__all__ = ["STAMP", "LogFollower"]

STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ")
"""The time before each line of a log."""

# Seconds between attempts.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_END_PATIENCE = 30.0
"""Seconds of pauses for which the end of a log is tried again."""


class LogFollower:
    """Reads a log line by line, and goes on after the last line when the connection is cut.

    Lines are known by their times, to the nanosecond, and by their order where times are equal.

    Parameters
    ----------
    api : KubeApi
    name, container : str
    is_over : callable
        Whether the container has ended, and so no line will come.
    """

    def __init__(
        self, api: KubeApi, name: str, container: str, *, is_over: Callable[[], bool]
    ) -> None:
        self._api = api
        self._name, self._container = name, container
        self._is_over = is_over
        self._last = b""
        self._since = ""
        # How many lines of the last time were read.
        self._equal = 0

    async def lines(self) -> AsyncGenerator[str]:
        r"""Yield the lines, each with ``\n``, until the container has ended.

        Raises
        ------
        KubeError
            If the log may not be read, or 404 if the pod is gone.
        KubeError, aiohttp.ClientError, TimeoutError
            If the end of the log cannot be read for half a minute.
        """
        pause, failures, refusals = _FIRST_PAUSE, 0.0, 0.0
        while True:
            # What is read once the container has ended is complete if it is not cut.
            is_over = self._is_over()
            read = 0
            try:
                async with aclosing(self._read(is_over=is_over)) as lines:
                    async for line in lines:
                        read += 1
                        yield line
                if is_over:
                    return
            except (KubeError, *CUT) as error:
                # 400: the container is only starting. 5xx: its node does not answer.
                is_missing = isinstance(error, KubeError) and error.status == 404
                is_refused = isinstance(error, KubeError) and error.is_of_rights
                refusals = refusals + pause if is_refused else 0.0
                # Its node may be gone for good.
                failures = failures + pause if is_over and not read else 0.0
                if is_missing or refusals > self._api.rights_patience or failures > _END_PATIENCE:
                    raise
            pause = _FIRST_PAUSE if read else min(2 * pause, _LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _read(self, *, is_over: bool) -> AsyncGenerator[str]:
        seen = 0
        lines = self._api.log(self._name, self._container, since=self._since, follow=not is_over)
        async with aclosing(lines):
            async for line in lines:
                match = STAMP.match(line)
                # What went wrong with the log itself comes in place of a line. Half a line is read
                # again.
                if match is None or not (is_over or line.endswith(b"\n")):
                    continue
                second, fraction, zone = match.groups()
                stamp = second + b"." + (fraction or b"").ljust(9, b"0")
                if stamp < self._last:
                    continue
                if stamp == self._last:
                    seen += 1
                    if seen <= self._equal:
                        continue
                else:
                    self._last, seen, self._equal = stamp, 1, 0
                    self._since = (second + zone).decode()
                self._equal += 1
                yield line[match.end() :].removesuffix(b"\n").decode(errors="replace") + "\n"
