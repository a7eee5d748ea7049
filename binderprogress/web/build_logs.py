"""Permanent links to the logs of builds, which are kept longer than launches.

Whoever has the id of a build may read its log, as all launches of the same commit share it. Where
users log in, any of them may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from ..core.log.terminal import MAX_LINE, Terminal
from ..core.printable import printable
from ..errors import BadRequestError
from .base import ApiHandler, Handler

__all__ = ["BuildLogHandler", "BuildLogPageHandler", "LogFormatHandler", "Readable", "readable"]


class LogFormatHandler(ApiHandler):
    """Base class of handlers that send a log in one of two formats."""

    def is_plain(self) -> bool:
        """Whether the log is asked for without what only a terminal can show.

        Raises
        ------
        BadRequestError
            If another format is asked for.
        """
        form = self.query("format")
        if form not in {"", "plain"}:
            raise BadRequestError(
                "`format` must be `plain`, or empty for the log as it was printed."
            )
        return form == "plain"


class BuildLogHandler(LogFormatHandler):
    """GET /api/builds/{id}/log."""

    async def get(self, build_id: str) -> None:
        """Send the log as it was printed, or to be read without a terminal."""
        is_plain = self.is_plain()
        chunks = await self.web.launches.build_logs.read(build_id)
        await _send(self, readable(chunks) if is_plain else chunks)


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


class Readable:
    """Makes a log readable without a terminal: no escape sequences, and nothing overwritten."""

    def __init__(self) -> None:
        self._terminal = Terminal()

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes, UTF-8. Return the next lines; the last ones may still change."""
        return _text(self._terminal.feed(chunk))

    def finish(self) -> bytes:
        """Return the rest: nothing follows."""
        return _text(self._terminal.finish())


def readable(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Return a log as `Readable` makes it.

    Parameters
    ----------
    chunks : iterator of bytes
        UTF-8.
    """
    log = Readable()
    for chunk in chunks:
        # Empty chunks would end the response.
        if text := log.feed(chunk):
            yield text
    if text := log.finish():
        yield text


def _text(lines: list[bytes]) -> bytes:
    return "".join([f"{_plain(line)}\n" for line in lines]).encode()


def _plain(line: bytes) -> str:
    cut = "… [This line is cut here.]" if len(line) == MAX_LINE else ""
    return printable(line.decode("utf-8", "replace")) + cut
