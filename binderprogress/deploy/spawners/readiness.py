"""Waits until a server answers, with short intervals between checks.

JupyterHub checks at random intervals of up to 5 s, so it may notice a server seconds late. If the
spawner waits for its server, launches are faster, and their times are easier to predict.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

__all__ = ["TIMEOUT", "until_it_answers"]

TIMEOUT = 30.0
"""Maximum seconds to wait. After that, JupyterHub waits, with its own limits."""

_INTERVAL = 0.1
# Number of intervals between two calls of `poll`, which is slow for containers.
_POLL_INTERVALS = 10


async def until_it_answers(
    spawner: Any,
    ip: str,
    port: int,
    *,
    output: Callable[[], Awaitable[str]] | None = None,
) -> None:
    """Wait until the server of a spawner answers, or for at most `TIMEOUT` seconds.

    Parameters
    ----------
    spawner : jupyterhub.spawner.Spawner
        The end of its `start` calls this.
    ip : str
        The address of the server.
    port : int
    output : callable, optional
        Returns the last lines that the server printed.

    Raises
    ------
    RuntimeError
        If the server has ended. The message is followed by its output.
    """
    if spawner.internal_ssl:
        return  # it accepts only connections from JupyterHub
    host = f"[{ip}]" if ":" in ip else ip
    url = f"http://{host}:{port}{spawner.server.base_url}api"
    try:
        async with asyncio.timeout(TIMEOUT), aiohttp.ClientSession() as session:
            for count in itertools.count(1):
                if await _answers(session, url):
                    return
                if count % _POLL_INTERVALS == 0 and (status := await spawner.poll()) is not None:
                    message = f"The server ended before it answered (exit code {status})."
                    printed = await output() if output is not None else ""
                    raise RuntimeError(f"{message}\n{printed}".strip())
                await asyncio.sleep(_INTERVAL)
    except TimeoutError:
        return  # JupyterHub continues to wait


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    """Return whether the server answers, without an error."""
    try:
        async with session.get(url, allow_redirects=False) as response:
            return response.status < 500
    except aiohttp.ClientError:
        return False
