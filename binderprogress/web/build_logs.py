"""Permanent links to the logs of builds, which are kept longer than launches.

Whoever has the id of a build may read its log, as all launches of the same commit share it. Where
users log in, any of them may.
"""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Iterator

from ..core.printable import printable
from .base import ApiHandler, Handler

__all__ = ["BuildLogHandler", "BuildLogPageHandler", "readable"]

_LONGEST_LINE = 256 * 1024
"""Characters of a line that are kept until its end is known."""


class BuildLogHandler(ApiHandler):
    """GET /api/builds/{id}/log."""

    async def get(self, build_id: str) -> None:
        """Send the log as it was printed."""
        await _send(self, await self.web.launches.build_logs.read(build_id))


class BuildLogPageHandler(Handler):
    """GET /builds/{id}/log: the same for people, who can log in, and have no terminal."""

    async def get(self, build_id: str) -> None:
        """Send the log without escape sequences."""
        await _send(self, readable(await self.web.launches.build_logs.read(build_id)))


async def _send(handler: Handler, chunks: Iterator[bytes]) -> None:
    handler.set_header("Content-Type", "text/plain; charset=utf-8")
    try:
        # In a thread, because the disk may be slow.
        while chunk := await asyncio.to_thread(next, chunks, b""):
            handler.write(chunk)
            if not await handler.send():
                return
    except OSError as error:
        handler.web.log.info("A log cannot be read to its end: %s", error)
        # Abort the response, so that the client notices that the log is incomplete.
        handler.detach().close()
        return
    handler.finish()


def readable(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Return a log without escape sequences, and without what a terminal would overwrite.

    Parameters
    ----------
    chunks : iterator of bytes
        UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    begun = ""
    for chunk in chunks:
        *lines, begun = (begun + decoder.decode(chunk)).split("\n")
        if len(begun) > _LONGEST_LINE:
            lines, begun = [*lines, begun], ""
        # Empty chunks would end the response.
        if lines:
            yield "".join([f"{_last_state(line)}\n" for line in lines]).encode()
    if begun:
        yield _last_state(begun).encode()


def _last_state(line: str) -> str:
    """Return what a terminal shows of a line in the end: progress bars overwrite it."""
    return printable(line.rstrip("\r").rpartition("\r")[2])
