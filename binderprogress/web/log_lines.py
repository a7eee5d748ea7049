"""Parts of logs: ranges of lines, and the lines with a text.

A log may have millions of lines, and whoever reads it wants a few of them.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from ..errors import BadRequestError, NotFoundError
from ..launches.log_lines import MAX_LINES, Found, LogLines, LogPart
from ..launches.log_times import LineTimes
from .base import ApiHandler
from .openapi_parts import BUILD_ID, LAUNCH_ID, json_response, operation

__all__ = [
    "TYPES",
    "BuildLinesHandler",
    "BuildSearchHandler",
    "BuildTimesHandler",
    "LaunchLinesHandler",
    "LaunchSearchHandler",
    "LaunchTimesHandler",
    "log_paths",
]

_MAX_QUERY = 200
_MAX_LINE = 10**12


class _PartHandler(ApiHandler):
    """Base class of these handlers."""

    @abstractmethod
    async def lines_of(self, log_id: str) -> Callable[[], LogLines]:
        """Return what reads the lines of a log. It is called in a thread."""

    async def read(self, log_id: str, work: Callable[[LogLines], Any]) -> None:
        """Send what a function returns for the lines of a log. It is called in a thread."""
        async with self.web.log_turns.take(self.caller.account):
            lines = await self.lines_of(log_id)
            try:
                result = await asyncio.to_thread(lambda: work(lines()))
            except FileNotFoundError:
                raise NotFoundError("This log was removed just now.") from None
        self.write_json(result)

    def integer(self, name: str, *, default: int, minimum: int, maximum: int) -> int:
        """Return an argument of the query.

        Raises
        ------
        BadRequestError
            If it is not an integer from `minimum` to `maximum`.
        """
        text = self.query(name, str(default))
        digits = text.removeprefix("-")
        if digits.isascii() and digits.isdigit() and len(digits) < 16:
            number = int(text)
            if minimum <= number <= maximum:
                return number
        raise BadRequestError(f"`{name}` must be a whole number from {minimum} to {maximum}.")


class _LinesHandler(_PartHandler):
    async def get(self, log_id: str) -> None:
        """Send lines."""
        first = self.integer("first", default=1, minimum=-_MAX_LINE, maximum=_MAX_LINE)
        count = self.integer("count", default=500, minimum=1, maximum=MAX_LINES)
        await self.read(log_id, lambda lines: lines.part(first, count))


class _SearchHandler(_PartHandler):
    async def get(self, log_id: str) -> None:
        """Send the numbers of lines with a text."""
        text = self.query("q")
        if not 1 <= len(text) <= _MAX_QUERY or "\n" in text:
            raise BadRequestError(
                f"`q` must be the text to look for: 1 to {_MAX_QUERY} characters of one line."
            )
        first = self.integer("first", default=1, minimum=1, maximum=_MAX_LINE)
        await self.read(log_id, lambda lines: lines.find(text, first))


class _TimesHandler(_PartHandler):
    async def get(self, log_id: str) -> None:
        """Send when lines were written."""
        await self.read(log_id, LogLines.times)


class _OfLaunch(_PartHandler):
    async def lines_of(self, log_id: str) -> Callable[[], LogLines]:
        return await self.web.launches.log_lines.of(await self.launch(log_id))


class _OfBuild(_PartHandler):
    async def lines_of(self, log_id: str) -> Callable[[], LogLines]:
        return await self.web.launches.build_logs.lines(log_id)


class LaunchLinesHandler(_LinesHandler, _OfLaunch):
    """GET /api/launches/{id}/log/lines."""


class LaunchSearchHandler(_SearchHandler, _OfLaunch):
    """GET /api/launches/{id}/log/search."""


class LaunchTimesHandler(_TimesHandler, _OfLaunch):
    """GET /api/launches/{id}/log/times."""


class BuildLinesHandler(_LinesHandler, _OfBuild):
    """GET /api/builds/{id}/log/lines."""


class BuildSearchHandler(_SearchHandler, _OfBuild):
    """GET /api/builds/{id}/log/search."""


class BuildTimesHandler(_TimesHandler, _OfBuild):
    """GET /api/builds/{id}/log/times."""


_FIRST = {
    "name": "first",
    "in": "query",
    "description": "Number of the first line, counted from 1. A negative number counts from the "
    "end: -10 is the tenth line from the end. 0: no line, only how many there are.",
    "schema": {"type": "integer", "minimum": -_MAX_LINE, "maximum": _MAX_LINE, "default": 1},
}
_COUNT = {
    "name": "count",
    "in": "query",
    "description": "How many lines. There are fewer if they take more than a mebibyte.",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LINES, "default": 500},
}
_QUERY = {
    "name": "q",
    "in": "query",
    "required": True,
    "description": "The text to look for, in upper or lower case.",
    "schema": {"type": "string", "minLength": 1, "maxLength": _MAX_QUERY, "pattern": "^[^\\n]+$"},
}
_SEARCH_FROM = {
    "name": "first",
    "in": "query",
    "description": "Number of the line from which to search, counted from 1.",
    "schema": {"type": "integer", "minimum": 1, "maximum": _MAX_LINE, "default": 1},
}

TYPES = [LogPart, Found, LineTimes]
"""What these handlers send."""


def log_paths() -> dict[str, Any]:
    """Return the paths of these handlers in the OpenAPI document."""
    paths: dict[str, Any] = {}
    for path, log_id, name, what in (
        ("/api/launches/{launch_id}/log", LAUNCH_ID, "Log", "a launch"),
        ("/api/builds/{build_id}/log", BUILD_ID, "BuildLog", "a build"),
    ):
        lines = {"200": json_response("The lines.", "LogPart")}
        paths[f"{path}/lines"] = {
            "parameters": [log_id, _FIRST, _COUNT],
            "get": operation(f"get{name}Lines", f"Get lines of the log of {what}.", lines),
        }
        found = {"200": json_response("The numbers of lines.", "Found")}
        paths[f"{path}/search"] = {
            "parameters": [log_id, _QUERY, _SEARCH_FROM],
            "get": operation(f"search{name}", f"Find a text in the log of {what}.", found),
        }
        times = {"200": json_response("The times of lines.", "LineTimes")}
        about = f"Get when lines of the log of {what} were written, about one for each second."
        paths[f"{path}/times"] = {
            "parameters": [log_id],
            "get": operation(f"get{name}Times", about, times),
        }
    return paths
