"""A JupyterHub spawner for environments of `LocalBuilder`.

It runs in JupyterHub's process. Servers run as JupyterHub's user, and are not isolated from each
other or from this machine. Use it for demos and for repositories that you trust.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner
from jupyterhub.utils import maybe_future
from traitlets import Integer, Unicode

from ...backends.local.jupyter_server import (
    MISSING,
    StoredEnvironment,
    arguments,
    command,
    copy_repository,
    read_environment,
    variables,
)
from ...backends.local.usage import use
from ..host_processes import kill_within
from .readiness import until_it_answers

__all__ = ["EnvironmentSpawner"]


class EnvironmentSpawner(LocalProcessSpawner):
    """Starts JupyterLab of an environment, in a copy of its repository.

    ``user_options`` are ``image`` (the environment's folder) and ``token`` (the server's token).
    """

    environments = Unicode(help="Folder of the environments.").tag(config=True)

    homes = Unicode(help="Folder for the copies of repositories.").tag(config=True)

    idle_timeout = Integer(3600, help="Seconds after which an idle server stops.").tag(config=True)

    # On SIGINT, Jupyter asks for confirmation. SIGTERM stops it.
    term_timeout = 3
    kill_timeout = 2

    _copying: asyncio.Future[None] | None = None

    async def start(self) -> Any:
        """Copy the repository and start the server."""
        environment = self._environment()
        try:
            with use(environment.folder) as files:
                return await self._start(environment, files)
        except FileNotFoundError as error:
            self.log.warning("%s", error)
            raise ValueError(MISSING) from error

    async def _start(self, environment: StoredEnvironment, in_use: list[int]) -> Any:
        home = self._home()
        # What is there is of a JupyterHub that was killed while it started a server.
        clear = partial(kill_within, home)
        copy = asyncio.to_thread(copy_repository, environment.repository, home, clear=clear)
        self._copying = asyncio.ensure_future(copy)
        await asyncio.shield(self._copying)
        # The environment is not removed as long as the server has these files open.
        self.popen_kwargs["pass_fds"] = in_use
        self.cmd = command(environment, home)
        ip, port = await super().start()
        await until_it_answers(self, ip, port)
        return ip, port

    async def stop(self, now: bool = False) -> None:
        """Stop the server, and the children of a start script."""
        group = self.pid
        await super().stop(now=True)
        if group:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                return  # all have ended

    async def run_post_stop_hook(self) -> None:
        """Remove the copy. JupyterHub calls this however the server ended."""
        await maybe_future(super().run_post_stop_hook())
        if self._copying is not None:
            # If the start is cancelled, the thread continues. It must not write after the removal.
            await asyncio.wait([self._copying])
        await asyncio.to_thread(_remove, self._home())

    def get_args(self) -> list[str]:
        """Return the arguments of the server."""
        return arguments(
            home=self._home(),
            port=self.port,
            base_url=self.server.base_url,
            idle_timeout=self.idle_timeout,
        )

    def get_env(self) -> dict[str, str]:
        """Return the environment variables of the server."""
        env: dict[str, str] = super().get_env()
        # Not on the command line, which all users of this machine can read.
        env["JUPYTER_TOKEN"] = str(self.user_options.get("token", ""))
        return env

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """Use the copy as the home folder, so that the server ignores the settings of our user."""
        env.update(variables(self._environment(), self._home(), user=self.user.name))
        return env

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        """Start in the copy. JupyterHub's users do not exist on this machine."""
        home = self._home()
        return lambda: os.chdir(home)

    def _home(self) -> Path:
        return Path(self.homes, self.user.name, self.name or "default")

    def _environment(self) -> StoredEnvironment:
        return read_environment(str(self.user_options.get("image", "")), Path(self.environments))


def _remove(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    try:
        home.parent.rmdir()
    except OSError:
        return  # the user has other servers
