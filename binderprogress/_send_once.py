"""A middleware for aiohttp that sends a request only once."""

from __future__ import annotations

import aiohttp

__all__ = ["send_once"]


async def send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request, and do not repeat it if the connection is lost before the response.

    By default, aiohttp repeats such a GET. To a BinderHub, a second GET is a second launch.

    Raises
    ------
    aiohttp.ClientConnectionError
        If the connection is lost. aiohttp repeats a request only on two of its subclasses,
        ``ClientOSError`` and ``ServerDisconnectedError``.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # nothing was sent, and aiohttp does not repeat it
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise aiohttp.ClientConnectionError(reason) from error
