"""What a response says about an error."""

from __future__ import annotations

from typing import Any

from tornado.web import HTTPError

from ..core.redact import redact
from ..errors import BinderProgressError, SpecError

__all__ = ["FORM_REFUSED", "explain", "heading_key", "is_form_refused"]

FORM_REFUSED = (
    "This form was open for too long, or your browser keeps no cookies for this site. Reload the "
    "page with the form, and send it again."
)
"""What a page says of a form without the value of the cookie that proves where it is from."""

_HEADINGS = {
    403: "error.refused",
    404: "error.missing",
    429: "error.often",
    502: "error.busy",
    503: "error.busy",
    504: "error.busy",
}
"""Keys of headings by status."""


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
        if error.log_message.startswith("Invalid unicode in url"):
            # Tornado's message has the bytes as Python writes them.
            return "The address contains bytes that are not UTF-8.", status
        message = error.log_message % error.args if error.args else error.log_message
        return redact(message).rstrip(".") + ".", status
    if status == 404:
        return "There is nothing at this URL.", status
    if status == 405:
        return "This method is not allowed here.", status
    if status < 500:
        return "The request is invalid.", status
    return "Internal server error. The server's log has the details.", status


def is_form_refused(exc_info: Any) -> bool:
    """Whether Tornado refused a form because its value of the XSRF cookie is missing or wrong."""
    error = exc_info[1] if exc_info else None
    if not isinstance(error, HTTPError) or error.status_code != 403:
        return False
    return "xsrf" in (error.log_message or "").lower()


def heading_key(status: int, exc_info: Any) -> str:
    """Return the key of a page's heading for a message that has no translation."""
    if exc_info and isinstance(exc_info[1], SpecError):
        return "error.spec"
    return _HEADINGS.get(status, "error.server" if status >= 500 else "error.request")
