"""The logs of our own JupyterHub and its proxy."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from .._private import make_private_file

__all__ = ["HUB_LOG", "PROXY_LOG", "HubLogs"]

HUB_LOG = "jupyterhub.log"
PROXY_LOG = "proxy.log"

_MAX_LOG = 16 * 2**20
"""Bytes of a log, which is emptied beyond when its process is started again."""

_LINES = 8
"""Lines of a log that are shown if its process ends."""

_PORT_TAKEN = (b"EADDRINUSE", b"Address already in use")
"""What JupyterHub and its proxies print if another program has their port."""


class HubLogs:
    """The logs in a folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begins: dict[str, int] = {}
        """Where the output of the processes that run now begins."""

    def begin(self, name: str) -> Path:
        """Return the log of a process that is about to start.

        Raises
        ------
        OSError
            If it cannot be created.
        """
        log = self._folder / name
        make_private_file(log)
        if log.stat().st_size > _MAX_LOG:
            os.truncate(log, 0)
        self._begins[name] = log.stat().st_size
        return log

    def tail(self, name: str) -> str:
        """Return the last lines of a log."""
        lines = (self._folder / name).read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LINES:])

    async def port_taken(self) -> None:
        """Wait until a process prints that another program has its port."""
        while not self.is_port_taken:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.1)

    @property
    def is_port_taken(self) -> bool:
        """Whether a process has printed that another program has its port."""
        for name, begin in self._begins.items():
            with (self._folder / name).open("rb") as log:
                log.seek(begin)
                said = log.read(_MAX_LOG)
            if any(sentence in said for sentence in _PORT_TAKEN):
                return True
        return False
