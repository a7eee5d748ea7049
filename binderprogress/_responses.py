"""Reads responses of other servers, with a limit on their size."""

from __future__ import annotations

import aiohttp

from .errors import StreamError

__all__ = ["read_text"]


async def read_text(response: aiohttp.ClientResponse, limit: int) -> str:
    """Read the body of a response.

    Parameters
    ----------
    response : aiohttp.ClientResponse
    limit : int
        Maximum size in bytes, after decompression.

    Raises
    ------
    StreamError
        If the body is larger. The connection is closed then.
    """
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            response.close()
            raise StreamError(f"the response is longer than {limit:,} bytes")
    return body.decode("utf-8", "replace")
