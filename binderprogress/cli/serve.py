"""``binderprogress serve``."""

from __future__ import annotations

import asyncio

from ..ext.standalone import CONFIGURABLES, Standalone
from .base import Command, stop_event

__all__ = ["ServeApp", "serve"]


class ServeApp(Command):
    """Run the server.

    Without a configured JupyterHub (c.HubSpawner.url) it starts one of its own on this machine,
    unless BinderHubs build and launch for it (--upstream).
    """

    name = "serve"
    description = __doc__ or ""
    classes = [Standalone, *CONFIGURABLES]  # noqa: RUF012 - traitlets' way
    aliases = {  # noqa: RUF012 - traitlets' way
        **Command.aliases,
        "ip": "Standalone.ip",
        "port": "Standalone.port",
        "engine": "Standalone.engine",
        "hub": "HubSpawner.url",
        "upstream": "Upstreams.urls",
    }
    server_class: type[Standalone] = Standalone

    async def main(self) -> int:
        """Serve until Ctrl-C or SIGTERM."""
        stop = stop_event()
        standalone = self.server_class(parent=self)
        try:
            await standalone.start()
            print(f"binderprogress listens on {standalone.url}", flush=True)
            await serve(standalone, stop)
        finally:
            await standalone.stop()
        return 0


async def serve(standalone: Standalone, stop: asyncio.Event) -> None:
    """Wait for the end.

    Raises
    ------
    ConfigError
        If the Hub of our own does not come up.
    """
    stopped = asyncio.create_task(stop.wait())
    tasks: set[asyncio.Task[object]] = {stopped}
    if standalone.hub is not None:
        tasks.add(asyncio.create_task(standalone.hub.available()))
    try:
        while not stopped.done():
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
