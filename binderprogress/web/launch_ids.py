"""Keep ids out of the log: whoever has the id of a launch may watch and cancel it.

Whoever has the id of a build may read its log.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from typing import Any

from tornado.log import access_log, app_log, gen_log
from tornado.web import HTTPError, RequestHandler

from ..core.printable import escape, indented
from ..core.redact import redact
from ..errors import (
    BinderProgressError,
    HistoryUnavailableError,
    ServerStoppingError,
    StorageError,
)

__all__ = ["RedactedLogHandler", "hide_launch_ids", "without_launch_ids"]

# A character of an id. An attacker may percent-encode it, even repeatedly.
# Possessive repeats ("++", "*+") do not backtrack, so hostile lines are read in linear time.
_CHARACTER = r"(?:[\w-]|%(?:25)*+(?:2[dD]|3\d|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aA]))"
_SEPARATOR = r"(?:[/=.:]|%(?:25)*+(?:2[fF]|3[dD]|2[eE]|3[aA]))"

_AFTER_ITS_NAME = re.compile(
    rf"((?:launch(?:es)?|builds){_SEPARATOR}++{_CHARACTER}{{6}}){_CHARACTER}++",
    re.ASCII | re.IGNORECASE,
)
_ANYWHERE = re.compile(rf"(?<![\w-]){_CHARACTER}{{22,}}+", re.ASCII)

_ID_LENGTH = 32
"""Characters of an id. With 21 of them known, 66 bits remain to be guessed."""


def hide_launch_ids(text: str) -> str:
    """Shorten ids of launches and builds in a text to their first six characters.

    After ``launch=``, ``launches/`` and ``builds/``, everything is shortened. Elsewhere, for
    example in event ids and exceptions, only what is long and looks random is.
    """
    return _ANYWHERE.sub(_shortened, _AFTER_ITS_NAME.sub(r"\1…", text))


def _shortened(match: re.Match[str]) -> str:
    word = match[0]
    mixed = any(map(str.isupper, word)) and any(map(str.islower, word))
    random = mixed and (len(word) >= _ID_LENGTH or any(map(str.isdigit, word)))
    return f"{word[:6]}…" if random or "%" in word else word


class RedactedLogHandler(RequestHandler):
    """A handler that logs its requests without launch ids and credentials."""

    def _request_summary(self) -> str:
        # Tornado uses this in its log messages about a request.
        return hide_launch_ids(redact(super()._request_summary()))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log an exception. Tornado's own method logs the whole request with its full URL."""
        summary = self._request_summary()
        if isinstance(value, BinderProgressError) and (value.status < 500 or _is_expected(value)):
            reason = f"{value} ({value.__cause__})" if value.__cause__ else str(value)
            gen_log.info("%s: %s", summary, escape(hide_launch_ids(redact(reason))))
        elif isinstance(value, HTTPError):
            if value.log_message:
                message = value.log_message % value.args if value.args else value.log_message
                message = escape(hide_launch_ids(redact(message)))
                gen_log.warning("%d %s: %s", value.status_code, summary, message)
        else:
            text = "".join(traceback.format_exception(typ, value, tb))
            # Not as `exc_info`, which would be logged unredacted.
            text = indented(hide_launch_ids(redact(text)))
            app_log.error("Uncaught exception %s%s", summary, text)


def _is_expected(error: Exception) -> bool:
    """Whether a database does not answer, or the server is being stopped.

    Other errors of a database are bugs or damage.
    """
    expected = (HistoryUnavailableError, ServerStoppingError)
    return isinstance(error, expected) or type(error) is StorageError


def without_launch_ids(log_function: Callable[..., None]) -> Callable[..., None]:
    """Wrap the log function of an application that serves our handlers beside its own.

    Such a function logs URLs and Referers unredacted. Requests with a launch id in either are
    logged by the wrapper instead.

    Parameters
    ----------
    log_function : callable
        Tornado's setting of that name.
    """

    def log(handler: RequestHandler, *args: Any, **kwargs: Any) -> None:
        request = handler.request
        logged = f"{request.uri} {request.headers.get('Referer', '')}"
        if hide_launch_ids(logged) == logged:
            log_function(handler, *args, **kwargs)
            return
        milliseconds = 1000.0 * request.request_time()
        summary = hide_launch_ids(redact(handler._request_summary()))
        access_log.info("%d %s %.2fms", handler.get_status(), summary, milliseconds)

    return log
