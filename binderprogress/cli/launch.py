"""``binderprogress launch REPO``."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack, aclosing
from functools import partial
from typing import ClassVar

from traitlets import Bool, Unicode

from ..client import AsyncClient, LaunchHandle
from ..client.models import image_from, server_from
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
    print_line,
    run_until_stopped,
    stop_event,
)
from .display import Display, JsonDisplay, PlainDisplay, TerminalDisplay
from .failure import Invocation
from .repository_command import InterruptedStartError, LaunchingCommand
from .summary import TraceRecorder, print_rows, summarize

__all__ = ["LaunchApp"]

# Waiting longer would delay the exit after Ctrl-C.
_CANCEL_TIMEOUT = 2.0


class LaunchApp(LaunchingCommand):
    """Launch a repository: a URL, the path of a local git repository, or a spec.

    Without --server, everything runs on this machine, and in a terminal keeps running until Ctrl-C.
    Exit codes: 0 if the server is ready, 1 if the launch failed, 2 for wrong usage, 3 if the server
    is unreachable, 130 if interrupted.
    """

    name = "launch"
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
        "json": ({"LaunchApp": {"json": True}}, "Print each event as one line of JSON."),
        "no-open": ({"LaunchApp": {"open_browser": False}}, "Do not open a browser."),
    }

    urlpath = Unicode(help="Path to open in the Jupyter server, such as lab/tree/index.ipynb.").tag(
        config=True
    )

    json = Bool(False, help="Print each event as one line of JSON.").tag(config=True)

    build_only: ClassVar[bool] = False
    """Whether it ends when the environment is built."""

    open_browser = Bool(True, help="Whether to open the server in a browser.").tag(config=True)

    async def main(self) -> int:
        """Launch the repository, show the progress, and return the exit code."""
        target = self.target()
        stop = stop_event()
        try:
            with ExitStack() as shown:
                display = shown.enter_context(self._display(target))
                serving = self.serving(
                    target.spec,
                    stop,
                    partial(_interrupted, shown),
                    begun=partial(display.say, "Starting a server on this machine"),
                )
                async with serving as client:
                    code = await self._launch(client, target, stop, display, shown)
            if code == 0 and stop.is_set() and not self.json:
                print("Stopped.", flush=True)
            return code
        except InterruptedStartError:
            return INTERRUPTED
        except ServerUnreachableError as error:
            print(printable(str(error)), file=sys.stderr)
            return UNREACHABLE
        except BadRequestError as error:
            print(printable(str(error)), file=sys.stderr)
            return USAGE
        except BinderProgressError as error:
            print(printable(str(error)), file=sys.stderr)
            return FAILED

    async def _launch(
        self,
        client: AsyncClient,
        target: specs.Target,
        stop: asyncio.Event,
        display: Display,
        shown: ExitStack,
    ) -> int:
        starting = client.start(self.to_start(target), build_only=self.build_only)
        launch = await run_until_stopped(stop, starting)
        if launch is None:
            _interrupted(shown)
            return INTERRUPTED
        recorder = TraceRecorder()
        last = await run_until_stopped(stop, _watch(client, launch, display, recorder))
        if last is not None and last.phase is not Phase.READY:
            # Before the display prints how it ended, which is the last line.
            await self._print_log_link(client, launch)
            return FAILED
        # The final state of the bar stays above what is printed now.
        shown.close()
        if last is None:
            print(f"Interrupted. {await _cancel(client, launch)}", file=sys.stderr)
            return INTERRUPTED
        if not self.json:
            print_rows(summarize(recorder.trace()))
        if self.build_only:
            self._print_image(last)
        else:
            urlpath = self.urlpath or (launch.urlpath if target.refs else target.urlpath)
            await self._open(server_from(last).address(urlpath), stop)
        return 0

    def _print_image(self, last: Event) -> None:
        """Print what was built."""
        if not self.json:
            print(printable(image_from(last)), flush=True)

    async def _print_log_link(self, client: AsyncClient, launch: LaunchHandle) -> None:
        """Print where the log of the build is kept, if it is."""
        if self.json or not self.server:
            return
        try:
            link = (await client.state(launch)).build_log_url
        except BinderProgressError as error:
            print(f"No link to the log: {printable(str(error))}", file=sys.stderr)
            return
        if link:
            print(f"The log of the build is kept at {printable(link)}", flush=True)

    async def _open(self, address: str, stop: asyncio.Event) -> None:
        address = printable(address)
        if self.json:
            return
        print(f"Open {address}", flush=True)
        if self.open_browser and sys.stdout.isatty():
            open_in_browser(address)
        if not self.server:
            if sys.stdout.isatty():
                print("The server runs until you press Ctrl-C.", flush=True)
                await stop.wait()
                print_line("Stopping the server …")
            else:
                print("The server stops now, because this is not a terminal.", flush=True)

    def _display(self, target: specs.Target) -> Display:
        if self.json:
            return JsonDisplay()
        asked = Invocation(
            command=self.name,
            repository=self.extra_args[0],
            spec=target.spec,
            ref=self.ref,
            server=self.server,
        )
        if sys.stdout.isatty():
            return TerminalDisplay(remedy=asked.remedy, offer=asked.offer)
        return PlainDisplay(remedy=asked.remedy, offer=asked.offer)


def _interrupted(shown: ExitStack) -> None:
    shown.close()
    print("Interrupted.", file=sys.stderr)


async def _watch(
    client: AsyncClient, launch: LaunchHandle, display: Display, recorder: TraceRecorder
) -> Event:
    last = None
    async with aclosing(client.watch(launch)) as events:
        async for last in events:
            display.show(last)
            recorder.add(last)
    if last is None:
        raise ServerUnreachableError("The server sent no events.")
    return last


async def _cancel(client: AsyncClient, launch: LaunchHandle) -> str:
    """Cancel a launch, and return a sentence about the result."""
    try:
        async with asyncio.timeout(_CANCEL_TIMEOUT):
            await client.cancel(launch)
    except (BinderProgressError, TimeoutError):
        return "The server does not respond. It cancels launches that nobody watches."
    if client.kind == "binderhub":
        return "BinderHub cannot cancel launches: the build continues, and a server may start."
    return "The launch was cancelled."
