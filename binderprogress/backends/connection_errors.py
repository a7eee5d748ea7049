"""What connections to other servers have in common: bounds, and words for how they fail."""

from __future__ import annotations

import os

import aiohttp

from ..core.redact import redact
from ..errors import StreamError

__all__ = ["LONGEST_ANSWER", "check_encoding", "explain", "read_text"]

LONGEST_ANSWER = 2**20
"""Bytes of an answer that is not a stream."""


def explain(error: BaseException) -> str:
    """Return in a few words, for everyone to read, why a connection failed."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection was cut"
    if isinstance(error, aiohttp.ClientResponseError) and error.status:
        # What it says beside the status is the other server's choice.
        return redact(f"the answer was {error.status} {error.message}".strip())[:200]
    cause = getattr(error, "os_error", error)
    number = getattr(cause, "errno", None)
    if number and number > 0:
        return os.strerror(number)
    text = getattr(cause, "strerror", None) or str(error)
    # The errors of aiohttp repeat addresses.
    return redact(text)[:200] or type(error).__name__


def check_encoding(response: aiohttp.ClientResponse) -> None:
    """Refuse a compressed stream: ``Accept-Encoding: identity`` was sent.

    Attack: a few kilobytes that become gigabytes.

    Raises
    ------
    StreamError
        If it is compressed.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise StreamError("the answer is compressed, which was not asked for")


async def read_text(response: aiohttp.ClientResponse, limit: int = LONGEST_ANSWER) -> str:
    """Read the body of an answer.

    Parameters
    ----------
    response : aiohttp.ClientResponse
    limit : int
        Bytes, after decompression, that it may have.

    Raises
    ------
    StreamError
        If it has more. The connection is closed then.
    """
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            response.close()
            raise StreamError(f"the answer is longer than {limit:,} bytes")
    return body.decode("utf-8", "replace")
