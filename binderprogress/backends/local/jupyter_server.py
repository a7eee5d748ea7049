"""What it takes to start the Jupyter server of an environment, in a copy of its repository."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..._private import make_private_folder
from .marker import MARKER

__all__ = [
    "MISSING",
    "StoredEnvironment",
    "arguments",
    "command",
    "copy_repository",
    "read_environment",
    "variables",
]

MISSING = "The environment does not exist. Launch the repository again."

# jupyter_server imports jsonschema, which imports rfc3987_syntax if it is installed. That compiles
# a grammar, which takes more than a second, a third of the start. It is for strings of the format
# "iri", which the server does not validate. If it is None here, importing it raises ImportError.
#
# When it is imported, JupyterLab asks yarn for its registry if it finds Node.js, which takes half
# of a second. Only `jupyter lab build` needs it, and later calls find Node.js again.
#
# When it ends, Python would free all objects one by one, which takes 0.4 s. What is registered with
# atexit is called last if it was registered first, so nothing is left to be done then.
_RUN_SCRIPT = """\
import atexit, gc, os, sys
codes = []
atexit.register(lambda: codes and (sys.stdout.flush(), sys.stderr.flush(), os._exit(codes[0])))
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
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    codes += [end.code] if isinstance(end.code, int) else [] if end.code else [0]
    raise
"""

# As in repo2docker.
_STARTS = ("start", "binder/start", ".binder/start")


class StoredEnvironment:
    """An environment that `LocalBuilder` has made.

    Parameters
    ----------
    folder : Path
    start : str
        The path of the repository's start script within the repository; empty: it has none.
    """

    def __init__(self, folder: Path, start: str) -> None:
        self.folder = folder
        self.start = start

    @property
    def venv(self) -> Path:
        """The folder of its virtual environment."""
        return self.folder / "venv"

    @property
    def repository(self) -> Path:
        """The folder of its repository."""
        return self.folder / "repository"


def read_environment(image: str, environments: Path) -> StoredEnvironment:
    """Return the environment in a folder.

    Parameters
    ----------
    image : str
        The folder.
    environments : Path
        The folder of all environments.

    Raises
    ------
    ValueError
        If there is no such environment.
    """
    folder = Path(image).resolve()
    marker = folder / MARKER
    # Attack: a request to JupyterHub's API names another folder.
    if folder.parent != environments.resolve() or not marker.is_file():
        raise ValueError(MISSING)
    return StoredEnvironment(folder, str(json.loads(marker.read_text())["start"] or ""))


def command(environment: StoredEnvironment, home: Path) -> list[str]:
    """Return the command of the server, which its arguments follow.

    Parameters
    ----------
    environment : StoredEnvironment
    home : Path
        The copy of the repository.

    Raises
    ------
    ValueError
        If the start script is not in the repository.
    """
    jupyter_lab = _jupyter_lab(environment.venv / "bin")
    if not environment.start:
        return jupyter_lab
    # The repository's start script, which runs its arguments: `exec "$@"`.
    return [str(_start_script(home, environment.start)), *jupyter_lab[-1:]]


def arguments(*, home: Path, port: int, base_url: str, idle_timeout: int) -> list[str]:
    """Return the arguments of the server, without the token: all users can list arguments.

    Parameters
    ----------
    home : Path
        The copy of the repository.
    port : int
        The port on 127.0.0.1 to listen on.
    base_url : str
        The path of its address.
    idle_timeout : int
        Seconds after which it stops if it is idle; 0: never.
    """
    options = [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.base_url={base_url}",
        f"--ServerApp.root_dir={home}",
        "--ServerApp.open_browser=False",
        # A proxy forwards the Host header. The token protects the server.
        "--ServerApp.allow_remote_access=True",
        f"--ServerApp.shutdown_no_activity_timeout={idle_timeout}",
    ]
    if os.geteuid() == 0:
        options.append("--allow-root")
    return options


def variables(environment: StoredEnvironment, home: Path, *, user: str) -> dict[str, str]:
    """Return environment variables of the server.

    The copy of the repository is the home folder, so that the server ignores our user's settings.
    """
    path = f"{environment.venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {
        "HOME": str(home),
        "USER": user,
        "SHELL": "/bin/bash",
        "VIRTUAL_ENV": str(environment.venv),
        "PATH": path,
    }


def copy_repository(
    repository: Path, home: Path, *, clear: Callable[[], object] = lambda: None
) -> None:
    """Copy the repository of an environment into a new private folder.

    Parameters
    ----------
    repository, home : Path
    clear : callable, optional
        Called first if the folder exists.

    Raises
    ------
    ValueError
        If the repository is a link.
    """
    # Attack: a postBuild replaces the checkout with a link to the user's home.
    if repository.is_symlink():
        raise ValueError("The environment's repository is a link. Launch the repository again.")
    if home.exists():
        clear()
        shutil.rmtree(home, ignore_errors=True)
    make_private_folder(home.parent)
    # Never hard links: changes must not appear in the next launch.
    shutil.copytree(repository, home, symlinks=True)
    home.chmod(0o700)


def _jupyter_lab(folder: Path) -> list[str]:
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
