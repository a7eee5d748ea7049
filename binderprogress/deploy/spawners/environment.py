"""A JupyterHub spawner for environments that `LocalBuilder` made.

It runs inside the Hub. Servers are processes of the Hub's own user: there is no isolation between
them, nor from this machine. It is for demonstrations, and for people who launch what they trust.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner
from jupyterhub.utils import maybe_future
from traitlets import Integer, Unicode

from ..._private import make_private_folder
from ...backends.local.builder import MARKER
from .readiness import until_it_answers

__all__ = ["EnvironmentSpawner"]

# Where repo2docker looks for it.
_STARTS = ("start", "binder/start", ".binder/start")


class EnvironmentSpawner(LocalProcessSpawner):
    """Starts JupyterLab of the environment named in ``user_options``, in a copy of its repository.

    ``user_options`` are ``image`` (the environment's folder) and ``token`` (what opens the server).
    """

    environments = Unicode(help="The folder where environments are kept.").tag(config=True)

    homes = Unicode(help="The folder where the copies of repositories are put.").tag(config=True)

    idle_timeout = Integer(
        3600, help="Seconds after which a server that nobody uses ends itself."
    ).tag(config=True)

    # Jupyter asks a person whether Ctrl-C was meant; TERM it understands.
    term_timeout = 3
    kill_timeout = 2

    _copying: asyncio.Future[None] | None = None

    async def start(self) -> Any:
        """Copy the repository and start the server."""
        environment, made = self._environment()
        home = self._home()
        copy = asyncio.to_thread(_copy, environment / "repository", home)
        self._copying = asyncio.ensure_future(copy)
        await asyncio.shield(self._copying)
        self.cmd = [str(environment / "venv" / "bin" / "jupyter-lab")]
        if made["start"]:
            # The repository's own: it ends in `exec "$@"`.
            self.cmd = [str(_start_script(home, made["start"])), *self.cmd]
        ip, port = await super().start()
        await until_it_answers(self, ip, port)
        return ip, port

    async def stop(self, now: bool = False) -> None:
        """Stop the server, and a start script's children with it."""
        group = self.pid
        await super().stop(now=True)
        if group:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                return  # all have ended: what was wanted

    async def run_post_stop_hook(self) -> None:
        """Remove the copy: whatever has ended the server, the Hub comes here."""
        await maybe_future(super().run_post_stop_hook())
        if self._copying is not None:
            # A thread goes on when its start is called off, and must not come after this.
            await asyncio.wait([self._copying])
        await asyncio.to_thread(_remove, self._home())

    def get_args(self) -> list[str]:
        """Return the arguments of the server."""
        arguments = [
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={self.port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.base_url={self.server.base_url}",
            f"--ServerApp.root_dir={self._home()}",
            "--ServerApp.open_browser=False",
            # The proxy in front keeps the name it was called by; the token guards the server.
            "--ServerApp.allow_remote_access=True",
            f"--ServerApp.shutdown_no_activity_timeout={self.idle_timeout}",
        ]
        if os.geteuid() == 0:
            arguments.append("--allow-root")
        return arguments

    def get_env(self) -> dict[str, str]:
        """Return the server's environment."""
        env: dict[str, str] = super().get_env()
        # Not on the command line, which everybody on this machine can read.
        env["JUPYTER_TOKEN"] = str(self.user_options.get("token", ""))
        return env

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """Let the server live in its copy, and see nothing of its owner's settings."""
        environment, _ = self._environment()
        venv = environment / "venv"
        env.update(
            HOME=str(self._home()),
            USER=self.user.name,
            SHELL="/bin/bash",
            VIRTUAL_ENV=str(venv),
            PATH=f"{venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        )
        return env

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        """Start in the copy; users of the Hub need not be users of this machine."""
        home = self._home()
        return lambda: os.chdir(home)

    def _home(self) -> Path:
        return Path(self.homes, self.user.name, self.name or "default")

    def _environment(self) -> tuple[Path, dict[str, Any]]:
        """Return the environment's folder and what its builder noted.

        It comes over the Hub's API: only what lies right in the folder of environments is run.
        """
        environment = Path(str(self.user_options.get("image", ""))).resolve()
        marker = environment / MARKER
        if environment.parent != Path(self.environments).resolve() or not marker.is_file():
            raise ValueError("The environment does not exist; launch the repository again.")
        made: dict[str, Any] = json.loads(marker.read_text())
        return environment, made


def _start_script(home: Path, name: str) -> Path:
    """Make the start script executable.

    Attack: the repository's code could change the checkout and the environment's marker, and have
    us change the mode of a file elsewhere.
    """
    script = home / name
    if name not in _STARTS or not script.resolve().is_relative_to(home.resolve()):
        raise ValueError("The repository's start script lies outside of the repository.")
    script.chmod(0o755)
    return script


def _remove(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    try:
        home.parent.rmdir()
    except OSError:
        return  # the user has other servers


def _copy(repository: Path, home: Path) -> None:
    # Attack: a postBuild that puts a link to its owner's home in the checkout's place.
    if repository.is_symlink():
        raise ValueError("The environment's repository is a link; launch the repository again.")
    shutil.rmtree(home, ignore_errors=True)
    make_private_folder(home.parent)
    # Copies, never hard links: what is written here is not for the next launch.
    shutil.copytree(repository, home, symlinks=True)
    home.chmod(0o700)
