"""What is said of connections that fail."""

from __future__ import annotations

import os

import aiohttp

__all__ = ["explain"]


def explain(error: BaseException) -> str:
    """Return in a few words, for everyone to read, why a connection failed."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection was cut"
    if isinstance(error, aiohttp.ClientResponseError) and error.status:
        return f"the answer was {error.status} {error.message}".strip()
    cause = getattr(error, "os_error", error)
    number = getattr(cause, "errno", None)
    if number and number > 0:
        return os.strerror(number)
    return (getattr(cause, "strerror", None) or str(error))[:200] or type(error).__name__
