"""``binderprogress launch REPO``."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing

from traitlets import Bool, Unicode

from ..client import AsyncClient, Launch
from ..client.models import served
from ..core import specs
from ..core.events import Event
from ..core.phases import Phase
from ..core.printable import printable
from ..errors import BadRequestError, BinderProgressError, ServerUnreachableError
from .base import (
    FAILED,
    INTERRUPTED,
    UNREACHABLE,
    USAGE,
    open_in_browser,
    stop_event,
    unless,
)
from .display import Display, JsonDisplay, PlainDisplay, TerminalDisplay
from .repository_command import LaunchingCommand
from .summary import Seen, print_rows, rows

__all__ = ["LaunchApp"]

# An interrupted launch is cancelled politely, but Ctrl-C means now.
_CANCEL_TIMEOUT = 2.0


class LaunchApp(LaunchingCommand):
    """Launch a repository: any address of it, the path of a local git repository, or a spec.

    Without --server it starts what it needs on this machine, and keeps the server running until
    Ctrl-C when it runs in a terminal. Exit codes: 0 ready, 1 failed, 2 wrong usage, 3 no server
    reached, 130 interrupted.
    """

    name = "launch"
    description = __doc__ or ""
    examples = """
    binderprogress launch ./my-repository
    binderprogress launch https://github.com/binder-examples/requirements --ref master
    binderprogress launch gh/binder-examples/requirements/HEAD --server https://binder.example.org
    """
    aliases = {  # noqa: RUF012 - traitlets' way
        **LaunchingCommand.aliases,
        "ref": "LaunchApp.ref",
        "server": "LaunchApp.server",
        "token": "LaunchApp.token",
        "engine": "Standalone.engine",
        "urlpath": "LaunchApp.urlpath",
    }
    flags = {  # noqa: RUF012
        **LaunchingCommand.flags,
        "json": ({"LaunchApp": {"json": True}}, "Print one event a line, as JSON."),
        "no-open": ({"LaunchApp": {"open_browser": False}}, "Do not open a browser."),
    }

    urlpath = Unicode(help="What to open in the server, as lab/tree/index.ipynb").tag(config=True)

    json = Bool(False, help="Print one event a line, as JSON.").tag(config=True)

    open_browser = Bool(True, help="Whether to open the server in a browser.").tag(config=True)

    async def main(self) -> int:
        """Launch, show it, and return the exit code."""
        target = self.target()
        stop = stop_event()
        try:
            async with self.serving(target.spec) as client:
                return await self._launch(client, target, stop)
        except ServerUnreachableError as error:
            print(printable(str(error)), file=sys.stderr)
            return UNREACHABLE
        except BadRequestError as error:
            print(printable(str(error)), file=sys.stderr)
            return USAGE
        except BinderProgressError as error:
            print(printable(str(error)), file=sys.stderr)
            return FAILED

    async def _launch(self, client: AsyncClient, target: specs.Target, stop: asyncio.Event) -> int:
        launch = await unless(stop, client.start(self.to_start(target)))
        if launch is None:
            print("Interrupted.", file=sys.stderr)
            return INTERRUPTED
        seen = Seen()
        with self._display() as display:
            last = await unless(stop, _follow(client, launch, display, seen))
        if last is None:
            print(f"Interrupted; {await _cancel(client, launch)}", file=sys.stderr)
            return INTERRUPTED
        if last.phase is not Phase.READY:
            # Why stands last, where one looks.
            return FAILED
        if not self.json:
            print_rows(rows(seen.trace()))
        urlpath = self.urlpath or (launch.urlpath if target.refs else target.urlpath)
        await self._open(served(last).address(urlpath), stop)
        return 0

    async def _open(self, address: str, stop: asyncio.Event) -> None:
        address = printable(address)
        if self.json:
            return
        print(f"Open {address}", flush=True)
        if self.open_browser and sys.stdout.isatty():
            open_in_browser(address)
        if not self.server:
            if sys.stdout.isatty():
                print("It runs until you press Ctrl-C.", flush=True)
                await stop.wait()
            else:
                print("It is stopped now: it was started for this command only.", flush=True)

    def _display(self) -> Display:
        if self.json:
            return JsonDisplay()
        return TerminalDisplay() if sys.stdout.isatty() else PlainDisplay()


async def _follow(client: AsyncClient, launch: Launch, display: Display, seen: Seen) -> Event:
    last = None
    async with aclosing(client.watch(launch)) as events:
        async for last in events:
            display.show(last)
            seen.add(last)
    if last is None:
        raise ServerUnreachableError("The launch told nothing.")
    return last


async def _cancel(client: AsyncClient, launch: Launch) -> str:
    """Cancel a launch, and say what became of that."""
    try:
        async with asyncio.timeout(_CANCEL_TIMEOUT):
            await client.cancel(launch)
    except (BinderProgressError, TimeoutError):
        return "the server does not answer. It cancels a launch that nobody watches."
    if client.kind == "binderhub":
        return "the launch is left: a build goes on, and a server that was asked for may come up."
    return "the launch is cancelled."
