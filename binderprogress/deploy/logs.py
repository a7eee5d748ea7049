"""Logging that text from outside cannot forge, fill or turn against who reads it."""

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
"""Characters of a message: a request's address alone may have 32,000."""


class LogFormatter(LevelFormatter):
    """Writes a record as one line; the lines of a traceback follow, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Return all lines."""
        # Without what other formatters have made of its traceback: logging keeps that in it.
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
    """Leaves out what one place in the code says again and again.

    Attack: a client that causes a warning with each request fills the disk.

    Parameters
    ----------
    limit : int
        Records of one place in each period.
    period : float
        Seconds.
    clock : callable
        Monotonic seconds.
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
        """Whether to log a record; the first one of a period says how many were left out."""
        now, place = self._clock(), (record.name, record.pathname, record.lineno)
        end, count = self._places.get(place, (0.0, 0))
        if now >= end:
            left_out = count - self._limit
            if left_out > 0:
                record.msg = f"{record.getMessage()} ({left_out} more like this were left out)"
                record.args = None
            end, count = now + self._period, 0
        self._places[place] = (end, count + 1)
        return count < self._limit


class SafeLogger(logging.LoggerAdapter[Any]):
    """Says things to the logger of a host, whose formatter is not ours."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a message, on one line, and a traceback below it."""
        if not self.isEnabledFor(level):
            return
        record = logging.LogRecord("", level, "", 0, msg, args, None)
        text = _safe(record.getMessage())
        if (error := _error(kwargs.pop("exc_info", None))) is not None:
            text += indented(redact("".join(traceback.format_exception(error))))
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        self.logger.log(level, "%s", text, **kwargs)


def last_resort(level: Any) -> logging.Handler:
    """Return a handler for the libraries' loggers that have none, as `logging.lastResort`."""
    handler = logging.StreamHandler()
    handler.setLevel(level)  # a number or a name
    handler.setLevel(max(handler.level, logging.WARNING))
    handler.setFormatter(LogFormatter("[%(name)s]%(highlevel)s %(message)s"))
    handler.addFilter(RepeatFilter())
    return handler


def _error(exc_info: Any) -> BaseException | None:
    """Return the exception that is meant by an argument of logging's functions."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return _error(exc_info[1])
    return sys.exc_info()[1] if exc_info else None


def _safe(message: str) -> str:
    # Before it is cut: without its end, an address may not be known for one.
    message = redact(message)
    return message_lines(message[:_LONGEST] + "…" if len(message) > _LONGEST else message)
