"""What a response says about an error."""

from __future__ import annotations

from typing import Any

from tornado.web import HTTPError

from ..core.redact import redact
from ..errors import BinderProgressError

__all__ = ["explain"]


def explain(status: int, exc_info: Any) -> tuple[str, int]:
    """Return one sentence for the user, in English, and the status of the response.

    Parameters
    ----------
    status : int
        The status that Tornado chose.
    exc_info : tuple or None
        The error.
    """
    error = exc_info[1] if exc_info else None
    if isinstance(error, BinderProgressError) and error.status != 500:
        return redact(str(error)), error.status
    if isinstance(error, HTTPError) and error.log_message and status < 500:
        message = error.log_message % error.args if error.args else error.log_message
        return redact(message).rstrip(".") + ".", status
    if status == 404:
        return "There is nothing at this URL.", status
    if status == 405:
        return "This method is not allowed here.", status
    if status < 500:
        return "The request is invalid.", status
    return "Internal server error. The server's log has the details.", status
