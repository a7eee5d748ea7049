"""What the commands that launch a repository have in common."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
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

__all__ = ["LaunchingCommand"]


class LaunchingCommand(Command):
    """A command that launches one repository, on a server that is named or on one of its own."""

    takes_arguments = True
    classes = [Standalone, *CONFIGURABLES]  # noqa: RUF012 - traitlets' way

    ref = Unicode(help="Branch, tag or commit; the default branch if left out.").tag(config=True)

    server = Unicode(help="The address of a binderprogress server, or of any BinderHub.").tag(
        config=True
    )

    token = Unicode(
        help="A token of the server's JupyterHub, where one has to be logged in; by default what "
        "BINDERPROGRESS_TOKEN holds. Other users of this machine may see what is typed."
    ).tag(config=True)

    @default("token")
    def _default_token(self) -> str:
        return os.environ.get("BINDERPROGRESS_TOKEN", "")

    def _log_level_default(self) -> int:
        # Among what the command itself says there is no room for the server's log.
        return 50

    def target(self) -> specs.Target:
        """Return what was named; end with a sentence if that is not understood."""
        if len(self.extra_args) != 1:
            self.usage("Name one repository.")
        try:
            return _target(self.extra_args[0], self.ref)
        except SpecError as error:
            self.usage(str(error))
            raise

    def to_start(self, target: specs.Target) -> str:
        """Return what the server is asked to launch.

        It is the address itself where only the server can look up where its ref ends.
        """
        return self.extra_args[0] if target.refs else str(target.spec)

    @asynccontextmanager
    async def serving(self, spec: specs.Spec) -> AsyncIterator[AsyncClient]:
        """Yield a client of the server: of the one that was named, or of one of our own."""
        if self.server:
            async with AsyncClient(self.server, token=self.token) as client:
                yield client
            return
        self.config.Standalone.port = 0
        if spec.is_local:
            # Who names a folder of their own allows it by that.
            allow_folder(self.config, local_path(spec.repo_url))
        # It is for the user of this machine, who may launch what they may read.
        self.config.GitResolver.setdefault("credentials", True)
        self.config.Archives.setdefault("ckan_sites", ["https://", "http://"])
        standalone = Standalone(parent=self)
        try:
            await standalone.start()
            async with AsyncClient(standalone.url) as client:
                yield client
        finally:
            await standalone.stop()


def _target(repository: str, ref: str) -> specs.Target:
    """Read REPO: the path of a folder that is there, a spec, or an address."""
    try:
        path = Path(repository).expanduser().resolve()
        is_folder = path.is_dir()
    except (OSError, RuntimeError):
        is_folder = False  # too long for a path, or of nobody's home
    if is_folder:
        return specs.read_address(path.as_uri(), ref)
    if not (specs.looks_like_spec(repository) or specs.looks_like_address(repository)):
        raise SpecError(
            f"{redact_address(repository)!r} is neither a folder nor a spec nor an address. An "
            "address begins with https://, a spec reads gh/<user>/<repository>/<ref>."
        )
    return read_target(repository, ref)
