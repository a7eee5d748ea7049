"""``binderprogress launch REPO``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

from traitlets import Bool, Unicode

from ..core import specs
from ..core.events import Event
from ..core.phases import Phase
from ..core.reasons import plain
from ..errors import BadRequestError, BinderProgressError, ServerUnreachableError, SpecError
from ..ext.standalone import CONFIGURABLES, Standalone
from ..sources.git import local_path
from .base import (
    FAILED,
    INTERRUPTED,
    UNREACHABLE,
    USAGE,
    Command,
    allow_folder,
    open_in_browser,
    stop_event,
    unless,
)
from .client import Client
from .display import Display, JsonDisplay, PlainDisplay, TerminalDisplay

__all__ = ["LaunchApp"]

# An interrupted launch is cancelled politely, but Ctrl-C means now.
_CANCEL_TIMEOUT = 2.0


class LaunchApp(Command):
    """Launch a repository: a URL, the path of a local git repository, or a spec.

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
    takes_arguments = True
    classes = [Standalone, *CONFIGURABLES]  # noqa: RUF012 - traitlets' way
    aliases = {  # noqa: RUF012 - traitlets' way
        **Command.aliases,
        "ref": "LaunchApp.ref",
        "server": "LaunchApp.server",
        "engine": "Standalone.engine",
        "urlpath": "LaunchApp.urlpath",
    }
    flags = {  # noqa: RUF012
        **Command.flags,
        "json": ({"LaunchApp": {"json": True}}, "Print one event a line, as JSON."),
        "no-open": ({"LaunchApp": {"open_browser": False}}, "Do not open a browser."),
    }

    ref = Unicode(help="Branch, tag or commit; the default branch if left out.").tag(config=True)

    server = Unicode(help="The address of a binderprogress server.").tag(config=True)

    urlpath = Unicode(help="What to open in the server, as lab/tree/index.ipynb").tag(config=True)

    json = Bool(False, help="Print one event a line, as JSON.").tag(config=True)

    open_browser = Bool(True, help="Whether to open the server in a browser.").tag(config=True)

    def _log_level_default(self) -> int:
        # Below the bar there is no room for the server's log.
        return 50

    async def main(self) -> int:
        """Launch, show it, and return the exit code."""
        if len(self.extra_args) != 1:
            self.usage("Name one repository.")
        try:
            spec = _spec(self.extra_args[0], self.ref)
        except SpecError as error:
            self.usage(str(error))
        stop = stop_event()
        try:
            async with self._serving(spec) as address, Client(address) as client:
                return await self._launch(client, spec, stop)
        except ServerUnreachableError as error:
            print(error, file=sys.stderr)
            return UNREACHABLE
        except BadRequestError as error:
            print(error, file=sys.stderr)
            return USAGE
        except BinderProgressError as error:
            print(error, file=sys.stderr)
            return FAILED

    @asynccontextmanager
    async def _serving(self, spec: specs.Spec) -> AsyncIterator[str]:
        """Yield the address of the server: the one that was named, or one of our own."""
        if self.server:
            yield self.server
            return
        self.config.Standalone.port = 0
        if spec.is_local:
            # Who names a folder of their own allows it by that.
            allow_folder(self.config, local_path(spec.repo_url))
        # It is for the user of this machine, who may launch what they may read.
        self.config.GitResolver.setdefault("credentials", True)
        standalone = Standalone(parent=self)
        try:
            await standalone.start()
            yield standalone.url
        finally:
            await standalone.stop()

    async def _launch(self, client: Client, spec: specs.Spec, stop: asyncio.Event) -> int:
        links = await unless(stop, client.start(str(spec)))
        if links is None:
            print("Interrupted.", file=sys.stderr)
            return INTERRUPTED
        with self._display() as display:
            last = await unless(stop, _follow(client, links, display))
        if last is None:
            print(f"Interrupted; {await _cancel(client, links)}", file=sys.stderr)
            return INTERRUPTED
        if last.phase is not Phase.READY:
            return FAILED
        await self._open(last, stop)
        return 0

    async def _open(self, ready: Event, stop: asyncio.Event) -> None:
        address = plain(_address(ready, self.urlpath))
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


async def _follow(client: Client, links: dict[str, str], display: Display) -> Event:
    last = None
    async for event, text in client.follow(links):
        display.show(event, text)
        last = event
    if last is None:
        raise ServerUnreachableError("The launch told nothing.")
    return last


async def _cancel(client: Client, links: dict[str, str]) -> str:
    """Cancel a launch, and say what became of that."""
    try:
        async with asyncio.timeout(_CANCEL_TIMEOUT):
            await client.cancel(links)
    except (BinderProgressError, TimeoutError):
        return "the server does not answer. It cancels a launch that nobody watches."
    return "the launch is cancelled."


def _spec(repository: str, ref: str) -> specs.Spec:
    """Read REPO: the path of a folder that is there, a spec, or an address."""
    try:
        path = Path(repository).expanduser().resolve()
        is_folder = path.is_dir()
    except (OSError, RuntimeError):
        is_folder = False  # too long for a path, or of nobody's home
    if is_folder:
        return specs.from_address(path.as_uri(), ref)
    if specs.looks_like_spec(repository):
        spec = specs.parse(repository)
        return spec.at(ref) if ref else spec
    if "://" not in repository and ":" not in repository:
        raise SpecError(
            f"{repository!r} is neither a folder nor a spec nor an address. An address begins with "
            "https://, a spec reads gh/<user>/<repository>/<ref>."
        )
    return specs.from_address(repository, ref)


def _address(ready: Event, urlpath: str) -> str:
    """Return what to open: the server, with its token."""
    path, _, query = urlpath.lstrip("/").partition("?")
    token = urlencode({"token": ready.token}) if ready.token else ""
    full = "&".join(part for part in (query, token) if part)
    return f"{ready.url}{path}" + (f"?{full}" if full else "")
