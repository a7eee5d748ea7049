"""Base class of the commands that launch a repository."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from traitlets import Unicode, default

from ..backends.fetch.git import local_path
from ..client import AsyncClient
from ..client.models import read_target
from ..core import specs
from ..core.redact import redact_address
from ..deploy.standalone import CONFIGURABLES, Standalone
from ..errors import SpecError
from .base import Command, allow_folder

__all__ = ["InterruptedStartError", "LaunchingCommand"]


class InterruptedStartError(Exception):
    """Ctrl-C was pressed while a server was starting."""


class LaunchingCommand(Command):
    """A command that launches one repository, on a given server or on one that it starts."""

    takes_arguments = True
    classes = [Standalone, *CONFIGURABLES]  # noqa: RUF012 - traitlets' way
    flags = {  # noqa: RUF012
        **Command.flags,
        "no-reuse": (
            {"LocalBuilder": {"reuse": False}, "Repo2dockerBuilder": {"reuse": False}},
            "Build a new environment, even if there is one.",
        ),
    }

    ref = Unicode(help="Branch, tag or commit. By default, the default branch.").tag(config=True)

    server = Unicode(help="URL of a binderprogress server or a BinderHub to launch on.").tag(
        config=True
    )

    token = Unicode(
        help="JupyterHub token, if the server requires a login. By default, it is read from the "
        "environment variable BINDERPROGRESS_TOKEN. Prefer that, because other users of this "
        "machine can see command lines."
    ).tag(config=True)

    @default("token")
    def _default_token(self) -> str:
        return os.environ.get("BINDERPROGRESS_TOKEN", "")

    def _log_level_default(self) -> int:
        # The log of the server that it starts would mix with the command's own output.
        return 50

    def target(self) -> specs.Target:
        """Parse the REPO argument. If it is invalid, exit with a message."""
        if len(self.extra_args) != 1:
            self.usage("Give exactly one repository.")
        try:
            return _target(self.extra_args[0], self.ref)
        except SpecError as error:
            self.usage(str(error))
            raise

    def to_start(self, target: specs.Target) -> str:
        """Return the spec to launch, or the URL if only the server can find its ref."""
        return self.extra_args[0] if target.refs else str(target.spec)

    @asynccontextmanager
    async def serving(
        self,
        spec: specs.Spec,
        stop: asyncio.Event,
        interrupted: Callable[[], None],
        *,
        begun: Callable[[], object] = lambda: None,
    ) -> AsyncIterator[AsyncClient]:
        """Yield a client of the given server, or of one that runs until the end of the block.

        Parameters
        ----------
        spec : Spec
            What will be launched.
        stop : asyncio.Event
            If it is set while a server starts, that is given up.
        interrupted : callable
            Called then, before everything is cleaned up.
        begun : callable, optional
            Called when a server begins to start.

        Raises
        ------
        InterruptedStartError
            Then, after the cleanup.
        """
        if self.server:
            async with AsyncClient(self.server, token=self.token) as client:
                yield client
            return
        self.config.Standalone.port = 0
        if spec.is_local:
            # The user named this folder, so it may be launched.
            allow_folder(self.config, local_path(spec.repo_url))
        # The server is for this user only, who may launch whatever they can read.
        self.config.GitResolver.setdefault("credentials", True)
        self.config.Archives.setdefault("ckan_sites", ["https://", "http://"])
        # As uv does for its user: copies would protect launches of other people.
        self.config.LocalBuilder.setdefault("link_mode", "hardlink")
        # Everything ends with the command.
        standalone = Standalone(parent=self, hub_folder="", prefers_processes=True)
        begun()
        try:
            if not await _starts(standalone, stop):
                interrupted()
                raise InterruptedStartError
            async with AsyncClient(standalone.url) as client:
                yield client
        finally:
            await standalone.stop()


async def _starts(standalone: Standalone, stop: asyncio.Event) -> bool:
    """Start a server. If `stop` is set first, give up and return False."""
    starting = asyncio.create_task(standalone.start())
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            return True
        return False
    finally:
        for task in (starting, stopped):
            task.cancel()
        await asyncio.wait({starting, stopped})


def _target(repository: str, ref: str) -> specs.Target:
    """Parse the REPO argument: the path of a folder, a spec, or a URL."""
    try:
        path = Path(repository).expanduser().resolve()
        is_folder = path.is_dir()
    except (OSError, RuntimeError):
        is_folder = False  # not a valid path, or the home of an unknown user
    if is_folder:
        return specs.read_address(path.as_uri(), ref)
    if not (specs.looks_like_spec(repository) or specs.looks_like_address(repository)):
        raise SpecError(
            f"{redact_address(repository)!r} is not a folder, a URL or a spec. URLs start with "
            "https://, and specs look like gh/<user>/<repository>/<ref>."
        )
    return read_target(repository, ref)
