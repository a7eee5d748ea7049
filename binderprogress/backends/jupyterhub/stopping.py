"""Stops and removes servers and users of a JupyterHub."""

from __future__ import annotations

import asyncio
from typing import Any

from ...core.log.reasons import failure
from .api import HubApi, HubSettings, NoAnswerError
from .cleanups import Cleanup

__all__ = ["remove", "stop_server"]

_STOPPED = {202, 204, 404}
"""The statuses of a deletion. 404: there is no such server."""


async def stop_server(api: HubApi, settings: HubSettings, user: str, server: str) -> None:
    """Stop a server, and remove it if it is a named one. Requests are retried.

    Raises
    ------
    LaunchFailedError
        If JupyterHub does not answer or refuses, or the server does not stop.
    """
    await api.request("DELETE", _path(user, server), expect=_STOPPED, body=_body(server))
    await _wait_until_stopped(api, settings, user, server)


async def remove(api: HubApi, settings: HubSettings, cleanup: Cleanup) -> None:
    """Stop and remove a server, and maybe its user. Requests are not retried.

    Raises
    ------
    NoAnswerError, LaunchFailedError
        If that is not done.
    """
    user, server = cleanup.user, cleanup.server
    try:
        await api.send("DELETE", _path(user, server), expect=_STOPPED, body=_body(server))
    except NoAnswerError:
        # JupyterHub 5.3 answers 500 if there is no such user.
        if (await api.send("GET", f"users/{user}", expect={200, 404})).status == 404:
            return
        raise
    await _wait_until_stopped(api, settings, user, server)
    if cleanup.with_user:
        await api.send("DELETE", f"users/{user}", expect={204, 404})


async def _wait_until_stopped(api: HubApi, settings: HubSettings, user: str, server: str) -> None:
    try:
        async with asyncio.timeout(settings.stop_timeout):
            while await api.server(user, server) is not None:  # noqa: ASYNC110 - JupyterHub has no event for it
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise failure(
            "hub-unreachable",
            f"The server did not stop within {settings.stop_timeout:g} seconds.",
        ) from None
    except NoAnswerError as error:
        raise failure("hub-unreachable", f"A request to JupyterHub failed: {error}") from error


def _path(user: str, server: str) -> str:
    return f"users/{user}/servers/{server}"


def _body(server: str) -> dict[str, Any] | None:
    # A server without a name cannot be removed. It goes with its user.
    return {"remove": True} if server else None
