"""Waits for a server that starts, and looks often.

JupyterHub looks at intervals that it doubles up to 5 s and draws by chance, so it notices a server
seconds after it answers. A spawner that comes back when its server answers starts it sooner, and
in a time that can be foreseen.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import aiohttp

__all__ = ["PATIENCE", "until_it_answers"]

PATIENCE = 30.0
"""Seconds; what takes longer is the Hub's to wait for, with its own limits."""

_EVERY = 0.1
# An engine takes longer to say whether a container runs.
_SELDOM = 10


async def until_it_answers(spawner: Any, ip: str, port: int) -> None:
    """Wait until the server of a spawner answers, or takes long.

    Parameters
    ----------
    spawner : jupyterhub.spawner.Spawner
        At the end of its `start`.
    ip : str
        Where it is to answer.
    port : int

    Raises
    ------
    RuntimeError
        If it has ended; the Hub would wait for it all the same.
    """
    if spawner.internal_ssl:
        return  # it answers to nobody but the Hub
    host = f"[{ip}]" if ":" in ip else ip
    url = f"http://{host}:{port}{spawner.server.base_url}api"
    try:
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as session:
            for count in itertools.count(1):
                if await _answers(session, url):
                    return
                if count % _SELDOM == 0 and (status := await spawner.poll()) is not None:
                    raise RuntimeError(f"The server ended before it answered ({status}).")
                await asyncio.sleep(_EVERY)
    except TimeoutError:
        return  # the Hub goes on waiting


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    """Say whether a server answers, and not with an error of its own."""
    try:
        async with session.get(url, allow_redirects=False) as response:
            return response.status < 500
    except aiohttp.ClientError:
        return False
