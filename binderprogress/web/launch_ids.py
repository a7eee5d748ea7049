"""Keep the ids of launches, which are keys, out of the log."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from typing import Any

from tornado.log import access_log, app_log, gen_log
from tornado.web import HTTPError, RequestHandler

from ..core.printable import escape, indented
from ..core.redact import redact
from ..errors import BinderProgressError

__all__ = ["Discreet", "hide_launch_ids", "without_launch_ids"]

# A character of an id, also percent-encoded, once or more often: nobody but an attacker does that.
_CHARACTER = r"(?:[\w-]|%(?:25)*(?:2[dD]|3\d|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aA]))"
_SEPARATOR = r"(?:[/=.:]|%(?:25)*(?:2[fF]|3[dD]|2[eE]|3[aA]))"

_AFTER_ITS_NAME = re.compile(
    rf"(launch(?:es)?{_SEPARATOR}+{_CHARACTER}{{6}}){_CHARACTER}+", re.ASCII | re.IGNORECASE
)
_ANYWHERE = re.compile(rf"(?<![\w-]){_CHARACTER}{{22,}}", re.ASCII)

_WHOLE = 32
"""Characters of an id. Who knows 21 of them has to guess 66 bits."""


def hide_launch_ids(text: str) -> str:
    """Return `text` with no more than the first six characters of each id of a launch.

    An id is found behind `launch=` and `launches/`, whatever it looks like; and anywhere else if it
    is long and random enough: in an odd address, the number of an event, an exception.
    """
    return _ANYWHERE.sub(_shortened, _AFTER_ITS_NAME.sub(r"\1…", text))


def _shortened(match: re.Match[str]) -> str:
    found = match[0]
    mixed = any(map(str.isupper, found)) and any(map(str.islower, found))
    random = mixed and (len(found) >= _WHOLE or any(map(str.isdigit, found)))
    return f"{found[:6]}…" if random or "%" in found else found


class Discreet(RequestHandler):
    """A handler whose lines in the log have no keys."""

    def _request_summary(self) -> str:
        # What Tornado's logs say of a request.
        return hide_launch_ids(redact(super()._request_summary()))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log what went wrong. Tornado would log the whole request, with its address as it is."""
        summary = self._request_summary()
        if isinstance(value, BinderProgressError) and value.status < 500:
            gen_log.info("%s: %s", summary, escape(hide_launch_ids(redact(str(value)))))
        elif isinstance(value, HTTPError):
            if value.log_message:
                said = value.log_message % value.args if value.args else value.log_message
                said = escape(hide_launch_ids(redact(said)))
                gen_log.warning("%d %s: %s", value.status_code, summary, said)
        else:
            text = "".join(traceback.format_exception(typ, value, tb))
            # Not as `exc_info`: that would be logged as it is.
            text = indented(hide_launch_ids(redact(text)))
            app_log.error("Uncaught exception %s%s", summary, text)


def without_launch_ids(log_function: Callable[..., None]) -> Callable[..., None]:
    """Return a function for the access log of an application that we are only a part of.

    Its own function logs addresses and Referers as they are. Whoever reads the log is not to get
    what opens a launch.
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
