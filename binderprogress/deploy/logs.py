"""Safe logging: untrusted text cannot forge lines, fill the disk, or control a terminal."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from traitlets.config.application import LevelFormatter

from ..core.printable import indented, message_lines
from ..core.redact import redact

__all__ = ["LogFormatter", "RepeatFilter", "SafeLogger", "last_resort"]

_LONGEST = 8192
"""Maximum characters of a message. A request's URL alone may have 32,000."""


class LogFormatter(LevelFormatter):
    """Writes a record as one line, followed by the indented lines of its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the formatted record."""
        # Other formatters cache their text of the traceback in the record. Ignore it.
        record = logging.makeLogRecord({**record.__dict__, "exc_text": None})
        exc_info, stack_info = record.exc_info, record.stack_info
        record.msg, record.args = _safe(record.getMessage()), None
        record.exc_info = record.stack_info = None
        text = super().format(record)
        if exc_info:
            text += indented(redact(self.formatException(exc_info)))
        if stack_info:
            text += indented(self.formatStack(stack_info))
        return text


class RepeatFilter(logging.Filter):
    """Drops records if one line of code logs too many.

    Attack: a client causes a warning with each request, which fills the disk.

    Parameters
    ----------
    limit : int
        Maximum records of one line of code in a period.
    period : float
        Length of a period in seconds.
    clock : callable
        Returns monotonic seconds.
    """

    def __init__(
        self,
        *,
        limit: int = 200,
        period: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._limit = limit
        self._period = period
        self._clock = clock
        self._places: dict[tuple[str, str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log a record. The first one of a period reports how many were dropped."""
        now, place = self._clock(), (record.name, record.pathname, record.lineno)
        end, count = self._places.get(place, (0.0, 0))
        if now >= end:
            dropped = count - self._limit
            if dropped > 0:
                record.msg = f"{record.getMessage()} ({dropped} similar messages were dropped)"
                record.args = None
            end, count = now + self._period, 0
        self._places[place] = (end, count + 1)
        return count < self._limit


class SafeLogger(logging.LoggerAdapter[Any]):
    """Logs safely to the logger of another application, whose formatter is not ours."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a message on one line, followed by its traceback."""
        if not self.isEnabledFor(level):
            return
        record = logging.LogRecord("", level, "", 0, msg, args, None)
        text = _safe(record.getMessage())
        if (error := _error(kwargs.pop("exc_info", None))) is not None:
            text += indented(redact("".join(traceback.format_exception(error))))
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        self.logger.log(level, "%s", text, **kwargs)


def last_resort(level: Any) -> logging.Handler:
    """Return a replacement of `logging.lastResort`, for loggers of libraries without handlers."""
    handler = logging.StreamHandler()
    handler.setLevel(level)  # a number or a name
    handler.setLevel(max(handler.level, logging.WARNING))
    handler.setFormatter(LogFormatter("[%(name)s]%(highlevel)s %(message)s"))
    handler.addFilter(RepeatFilter())
    return handler


def _error(exc_info: Any) -> BaseException | None:
    """Return the exception for the `exc_info` argument of logging's functions."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return _error(exc_info[1])
    return sys.exc_info()[1] if exc_info else None


def _safe(message: str) -> str:
    # Redact before cutting: half a URL may not be recognized as one.
    message = redact(message)
    return message_lines(message[:_LONGEST] + "…" if len(message) > _LONGEST else message)
