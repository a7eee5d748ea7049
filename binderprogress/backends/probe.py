"""Asks Jupyter servers whether they answer."""

from __future__ import annotations

from urllib.parse import urlsplit

import aiohttp

from .base import RunningServer

__all__ = ["JupyterProbe"]


class JupyterProbe:
    """Asks Jupyter servers whether they answer, with their tokens.

    A proxy in front may answer for a server that is gone, and another server may have its port. So
    only the answer to its own token counts.

    Parameters
    ----------
    timeout : float
        Seconds for one request.
    proxy_url : str
        Where the proxy in front of the servers is reached from here. Empty: as from everywhere.
    """

    def __init__(self, *, timeout: float, proxy_url: str = "") -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._proxy_url = proxy_url
        self._session: aiohttp.ClientSession | None = None

    async def answers(self, server: RunningServer) -> bool:
        """Return whether a server answers."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        headers = {"Authorization": f"token {server.token}"}
        try:
            async with self._session.get(
                self._address(server.url), headers=headers, allow_redirects=False
            ) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return False

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()

    def _address(self, url: str) -> str:
        parts = urlsplit(url)
        path = f"{parts.path.rstrip('/')}/api/status"
        if self._proxy_url:
            return self._proxy_url.rstrip("/") + path
        return parts._replace(path=path, query="", fragment="").geturl()
