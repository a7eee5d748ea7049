"""A JupyterHub spawner for environments of `LocalBuilder`.

It runs in JupyterHub's process. Servers run as JupyterHub's user, and are not isolated from each
other or from this machine. Use it for demos and for repositories that you trust.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner
from jupyterhub.utils import maybe_future
from traitlets import Integer, Unicode

from ..._private import make_private_folder
from ...backends.local.environments import use
from ...backends.local.marker import MARKER
from ..host_processes import kill_within
from .readiness import until_it_answers

__all__ = ["EnvironmentSpawner"]

# jupyter_server imports jsonschema, which imports rfc3987_syntax if it is installed. That compiles
# a grammar, which takes more than a second, a third of the start. It is for strings of the format
# "iri", which the server does not validate. If it is None here, importing it raises ImportError.
#
# When it is imported, JupyterLab asks yarn for its registry if it finds Node.js, which takes half
# of a second. Only `jupyter lab build` needs it, and later calls find Node.js again.
_RUN_SCRIPT = """\
import gc, os, sys
sys.modules["rfc3987_syntax"] = None
sys.argv[:] = sys.argv[1:]
sys.path[0] = sys.argv[0].rpartition("/")[0]
path, os.environ["PATH"] = os.environ["PATH"], os.devnull
gc.disable()
try:
    import jupyterlab.labapp
except Exception:
    pass  # the script says what is wrong
gc.enable()
os.environ["PATH"] = path
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
"""

_MISSING = "The environment does not exist. Launch the repository again."

# As in repo2docker.
_STARTS = ("start", "binder/start", ".binder/start")


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
        environment, details = self._environment()
        try:
            with use(environment) as file:
                return await self._start(environment, details, file)
        except FileNotFoundError as error:
            self.log.warning("%s", error)
            raise ValueError(_MISSING) from error

    async def _start(self, environment: Path, details: dict[str, Any], in_use: int) -> Any:
        home = self._home()
        copy = asyncio.to_thread(_copy, environment / "repository", home)
        self._copying = asyncio.ensure_future(copy)
        await asyncio.shield(self._copying)
        # The environment is not removed as long as the server has this file open.
        self.popen_kwargs["pass_fds"] = [in_use]
        self.cmd = _command(environment / "venv" / "bin")
        if details["start"]:
            # The repository's start script, which runs its arguments: `exec "$@"`.
            self.cmd = [str(_start_script(home, details["start"])), *self.cmd[-1:]]
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
        arguments = [
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={self.port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.base_url={self.server.base_url}",
            f"--ServerApp.root_dir={self._home()}",
            "--ServerApp.open_browser=False",
            # The proxy forwards the Host header. The token protects the server.
            "--ServerApp.allow_remote_access=True",
            f"--ServerApp.shutdown_no_activity_timeout={self.idle_timeout}",
        ]
        if os.geteuid() == 0:
            arguments.append("--allow-root")
        return arguments

    def get_env(self) -> dict[str, str]:
        """Return the environment variables of the server."""
        env: dict[str, str] = super().get_env()
        # Not on the command line, which all users of this machine can read.
        env["JUPYTER_TOKEN"] = str(self.user_options.get("token", ""))
        return env

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """Use the copy as the home folder, so that the server ignores the settings of our user."""
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
        """Start in the copy. JupyterHub's users do not exist on this machine."""
        home = self._home()
        return lambda: os.chdir(home)

    def _home(self) -> Path:
        return Path(self.homes, self.user.name, self.name or "default")

    def _environment(self) -> tuple[Path, dict[str, Any]]:
        """Return the environment's folder, and the contents of its marker.

        Attack: a request to JupyterHub's API names another folder.
        """
        environment = Path(str(self.user_options.get("image", ""))).resolve()
        marker = environment / MARKER
        if environment.parent != Path(self.environments).resolve() or not marker.is_file():
            raise ValueError(_MISSING)
        details: dict[str, Any] = json.loads(marker.read_text())
        return environment, details


def _command(folder: Path) -> list[str]:
    """Return the command of JupyterLab, which ends with the path of its script."""
    script = folder / "jupyter-lab"
    # A postBuild may have replaced it with a script of another language, or removed it.
    with suppress(OSError), script.open("rb") as file:
        # If the path is too long for "#!", uv writes a script that is for sh and for Python.
        if b"python" in file.readline() or file.readline().startswith(b"'''exec' "):
            return [str(folder / "python"), "-c", _RUN_SCRIPT, str(script)]
    return [str(script)]


def _start_script(home: Path, name: str) -> Path:
    """Make the start script executable.

    Attack: the repository's code changes the checkout and the environment's marker, so that another
    file is made executable.
    """
    script = home / name
    if name not in _STARTS or not script.resolve().is_relative_to(home.resolve()):
        raise ValueError("The start script is outside of the repository.")
    script.chmod(0o755)
    return script


def _remove(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    try:
        home.parent.rmdir()
    except OSError:
        return  # the user has other servers


def _copy(repository: Path, home: Path) -> None:
    # Attack: a postBuild replaces the checkout with a link to the user's home.
    if repository.is_symlink():
        raise ValueError("The environment's repository is a link. Launch the repository again.")
    if home.exists():
        # Of a JupyterHub that was killed while it started a server.
        kill_within(home)
        shutil.rmtree(home, ignore_errors=True)
    make_private_folder(home.parent)
    # Never hard links: changes must not appear in the next launch.
    shutil.copytree(repository, home, symlinks=True)
    home.chmod(0o700)
