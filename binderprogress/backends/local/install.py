"""Installs what a checkout needs into a virtual environment, with uv.

`build_program` imports it when there is something to install.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from ..fetch.checkout import refuse_link_outside
from ..fetch.options import FetchPlan
from ..processes.messages import ProgramError
from ..processes.output import output
from .detect_program import OURS, Detected, detect

__all__ = ["install"]

# With them, a notebook can install packages. They are resolved with all others: that is faster than
# `uv venv --seed`, and respects what a repository requires of them.
_SEEDS = ("pip", "setuptools", "wheel")


def install(task: Mapping[str, Any], plan: FetchPlan, checkout: Path, venv: Path) -> Iterator[str]:
    """Create a virtual environment with what a checkout needs, and run its postBuild.

    Parameters
    ----------
    task : mapping
        The task of `build_program`: ``base_packages``, ``link_mode`` and ``user_folders`` are used.
    plan : FetchPlan
        The plan of the fetch, for detecting what is needed.
    checkout : Path
    venv : Path
        A folder that does not exist.

    Yields
    ------
    str
        Lines of the log.

    Raises
    ------
    subprocess.CalledProcessError
        If a program fails.
    ProgramError, ValueError, RuntimeError, OSError
        If the checkout cannot be installed. The message is a sentence.
    """
    detected = detect(plan, checkout)
    if detected.problem:
        raise ProgramError(detected.problem)
    yield "Using PythonBuildPack builder\n"
    # Before a uv.toml of the repository is in the current folder.
    env = {**_environment(venv, task["link_mode"]), **_kept_by_uv(task["user_folders"])}
    with chdir(checkout):
        for title, command in _commands(detected, task["base_packages"], venv):
            yield f"{title}\n"
            yield from output(command, env)


def _kept_by_uv(user_folders: dict[str, str]) -> dict[str, str]:
    """Return uv's folders of packages and Pythons, which are in the user's real home folder."""
    kinds = {"UV_CACHE_DIR": "cache", "UV_PYTHON_INSTALL_DIR": "python"}
    env = {**os.environ, **user_folders}
    folders = {}
    for name, kind in kinds.items():
        command = [find_uv_bin(), kind, "dir"]
        asked = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if asked.returncode:
            raise ProgramError(f"uv does not work: {asked.stderr.strip()}")
        folders[name] = asked.stdout.strip()
    return folders


def _commands(
    detected: Detected, base_packages: list[str], venv: Path
) -> Iterator[tuple[str, list[str]]]:
    uv = find_uv_bin()
    # uv searches PATH for Pythons, which may not contain the one that runs this.
    python = sys.executable if detected.python == OURS else detected.python
    yield (
        f"Creating an environment with Python {detected.python}",
        [uv, "venv", "--no-config", "--python", python, str(venv)],
    )
    packages = [*_SEEDS, *base_packages]
    requirements = detected.path("requirements.txt")
    title = "Installing Jupyter"
    if requirements.is_file():
        packages += ["--requirements", str(requirements)]
        title += f" and {requirements}"
    if detected.is_package:
        packages += ["."]
        title += " and the package in the repository"
    yield title, [uv, "pip", "install", "--python", str(venv), *packages]
    post_build = detected.path("postBuild")
    if post_build.is_file():
        refuse_link_outside(post_build)
        post_build.chmod(0o755)
        yield "Running postBuild", [str(post_build.resolve())]


def _environment(venv: Path, link_mode: str) -> dict[str, str]:
    return {
        **os.environ,
        "VIRTUAL_ENV": str(venv),
        "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        # A plain log without colours and progress bars.
        "NO_COLOR": "1",
        "UV_NO_PROGRESS": "1",
        "UV_LINK_MODE": link_mode,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
