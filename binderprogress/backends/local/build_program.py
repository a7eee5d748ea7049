"""The program that builds one environment for `LocalBuilder`: it fetches, detects and installs.

Like ``repo2docker --json-logs``, it prints JSON lines with ``message`` and ``phase``. Because it is
a separate process, a build can be cancelled at any point, and repo2docker's blocking code and its
changes of the current folder do not affect the server.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from ..._private import make_private_folder
from ..fetch.commit_date import read_commit_date
from ..fetch.isolated import fetch, provider_name
from ..fetch.options import FetchPlan, take_plan
from ..processes.messages import ProgramError
from ..processes.output import output
from .detect_program import OURS, Detected, detect
from .environments import build_lock, is_complete, remove_unused, use
from .marker import MARKER
from .sharing import contents, environment_key, is_as_made, shared_folder

# With them, a notebook can install packages. They are resolved with all others: that is faster than
# `uv venv --seed`, and respects what a repository requires of them.
_SEEDS = ("pip", "setuptools", "wheel")


class BuildError(Exception):
    """The build failed. The message is a sentence for the log."""


def print_line(message: str, phase: str) -> None:
    """Print one line of the log."""
    print(json.dumps({"message": message, "phase": phase}), flush=True)  # noqa: T201 - its output


def print_lines(lines: Iterator[str], phase: str) -> None:
    """Print lines of the log as they are written."""
    for line in lines:
        print_line(line, phase)


def main() -> int:
    """Build the environment that the first argument, a JSON object, describes."""
    task: dict[str, Any] = json.loads(sys.argv[1])
    plan = take_plan()
    folder = Path(task["folder"])
    # The repository may be private, so other users of this machine must not read it.
    os.umask(0o077)
    make_private_folder(folder.parent)
    try:
        with _locked(folder):
            # Another process may have built it while this one was waiting.
            if not is_complete(folder):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(mode=0o700)
                _build(task, plan, folder)
    except subprocess.CalledProcessError as error:
        print_line(f"{Path(error.cmd[0]).name} exited with status {error.returncode}.\n", "failed")
        return 1
    except (BuildError, ProgramError, ValueError, RuntimeError, OSError) as error:
        # ValueError: a path in the checkout is not safe. RuntimeError: it could not be examined.
        print_line(f"{error}\n", "failed")
        return 1
    return 0


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with build_lock(folder) as lock:
        if not lock.acquire(wait=False):
            print_line(
                "Waiting for another process that builds the same environment.\n", "building"
            )
            lock.acquire()
        yield


def _build(task: dict[str, Any], plan: FetchPlan, folder: Path) -> None:
    checkout, venv = folder / "repository", folder / "venv"
    _fetch(task, plan, checkout)
    committed = read_commit_date(checkout)
    key = environment_key(
        checkout,
        made_with=[*task["made_with"], *task["base_packages"]],
        ignore_repository=task["ignore_repository"],
    )
    reused = ""
    if key and task["reuse"]:
        shared = shared_folder(folder.parent, key)
        with _locked(shared):
            reused = _shared(task, plan, checkout, shared)
        if reused or is_as_made(shared):
            venv.symlink_to(shared / "venv")
    if not venv.is_symlink():
        _install(task, _detected(plan, checkout), checkout, venv)
    start = _start_script(checkout)
    _mark(folder, {**task, "committed": committed, "start": start, "reused": reused})


def _shared(task: dict[str, Any], plan: FetchPlan, checkout: Path, shared: Path) -> str:
    """Make the environment that others can have, too, unless it exists.

    Returns
    -------
    str
        When it was made, if it existed. Empty if it was made now, or cannot be used: a notebook
        has changed it, and still runs.
    """
    if is_as_made(shared):
        with use(shared):
            pass  # from now on, it is not removed to make room
        made = datetime.fromtimestamp((shared / MARKER).stat().st_mtime, UTC)
        when = f"{made:%Y-%m-%d %H:%M} UTC"
        print_line(
            f"Reusing the environment of {when}: its environment files are the same.\n", "building"
        )
        return when
    if shared.exists() and not remove_unused(shared):
        return ""
    shared.mkdir(mode=0o700)
    _install(task, _detected(plan, checkout), checkout, shared / "venv")
    _mark(shared, {"start": "", "contents": contents(shared / "venv")})
    return ""


def _detected(plan: FetchPlan, checkout: Path) -> Detected:
    detected = detect(plan, checkout)
    if detected.problem:
        raise BuildError(detected.problem)
    return detected


def _install(task: dict[str, Any], detected: Detected, checkout: Path, venv: Path) -> None:
    print_line("Using PythonBuildPack builder\n", "building")
    # Before a uv.toml of the repository is in the current folder.
    env = {**_environment(venv, task["link_mode"]), **_kept_by_uv(task["user_folders"])}
    with chdir(checkout):
        for title, command in _commands(detected, task["base_packages"], venv):
            print_line(f"{title}\n", "building")
            print_lines(output(command, env), "building")


def _kept_by_uv(user_folders: dict[str, str]) -> dict[str, str]:
    """Return uv's folders of packages and Pythons, which are in the user's real home folder."""
    kinds = {"UV_CACHE_DIR": "cache", "UV_PYTHON_INSTALL_DIR": "python"}
    env = {**os.environ, **user_folders}
    folders = {}
    for name, kind in kinds.items():
        command = [find_uv_bin(), kind, "dir"]
        asked = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if asked.returncode:
            raise BuildError(f"uv does not work: {asked.stderr.strip()}")
        folders[name] = asked.stdout.strip()
    return folders


def _start_script(checkout: Path) -> str:
    """Return the path of the start script; empty if there is none."""
    with chdir(checkout):
        binder = next((name for name in ("binder", ".binder") if Path(name).is_dir()), "")
        start = Path(binder, "start")
        if not start.is_file():
            return ""
        _refuse_a_link_outside(start)
        return str(start)


def _mark(folder: Path, made: dict[str, Any]) -> None:
    """Write the file that marks a complete environment, last.

    Attack: a postBuild script creates a link in its place. Renaming replaces the link, and does not
    write to its target.
    """
    aside = Path(tempfile.mkdtemp(dir=folder), MARKER)
    aside.write_text(json.dumps(made))
    aside.replace(folder / MARKER)
    aside.parent.rmdir()


def _fetch(task: dict[str, Any], plan: FetchPlan, checkout: Path) -> None:
    checkout.mkdir()
    print_line(f"Picked {provider_name(plan)} content provider.\n", "fetching")
    print_lines(fetch(plan, task["repo_url"], task["commit"], checkout), "fetching")


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
        _refuse_a_link_outside(post_build)
        post_build.chmod(0o755)
        yield "Running postBuild", [str(post_build.resolve())]


def _refuse_a_link_outside(path: Path) -> None:
    """Check a path again, after code of the repository has run.

    Attack: a setup.py or a postBuild script replaces a file with a link, before the file is made
    executable.
    """
    if not path.resolve().is_relative_to(Path.cwd()):
        raise BuildError(f"{path} is a symbolic link that points outside the repository.")


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


if __name__ == "__main__":
    sys.exit(main())
