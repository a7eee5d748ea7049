"""Limits of responses of other servers, and short descriptions of connection errors."""

from __future__ import annotations

import os

import aiohttp

from ..core.redact import redact
from ..errors import StreamError

__all__ = ["LONGEST_RESPONSE", "check_encoding", "explain"]

LONGEST_RESPONSE = 2**20
"""Maximum size of a response that is not a stream, in bytes."""


def explain(error: BaseException) -> str:
    """Return a short reason why a connection failed, which is safe to show to anyone."""
    if isinstance(error, TimeoutError):
        return "no response in time"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection was lost"
    if isinstance(error, aiohttp.ClientResponseError) and error.status:
        # The other server chooses the message.
        return redact(f"the response was {error.status} {error.message}".strip())[:200]
    cause = getattr(error, "os_error", error)
    number = getattr(cause, "errno", None)
    if number and number > 0:
        return os.strerror(number)
    text = getattr(cause, "strerror", None) or str(error)
    # The messages of aiohttp contain addresses.
    return redact(text)[:200] or type(error).__name__


def check_encoding(response: aiohttp.ClientResponse) -> None:
    """Reject a compressed stream. The request had ``Accept-Encoding: identity``.

    Attack: a few kilobytes that decompress to gigabytes.

    Raises
    ------
    StreamError
        If the response is compressed.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise StreamError("the response is compressed, which was not requested")
