"""Reading answers that may be of any size."""

from __future__ import annotations

import aiohttp

from ..errors import StreamError

__all__ = ["LONGEST_ANSWER", "LONGEST_LOG", "read_text"]

LONGEST_ANSWER = 16 * 2**20
"""Bytes of an answer; a notebook with pictures has some millions."""
LONGEST_LOG = 2**30
"""Bytes of a whole log: a server keeps 256 Mi characters of each."""


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
            raise StreamError(f"The answer is longer than {limit:,} bytes.")
    return body.decode("utf-8", "replace")
