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

from ..._private import make_private_folder
from ..fetch.checkout import refuse_link_outside
from ..fetch.commit_date import read_commit_date
from ..fetch.isolated import fetch, provider_name
from ..fetch.options import FetchPlan, take_plan
from ..processes.messages import ProgramError
from .marker import MARKER
from .sharing import contents, environment_key, is_as_made, shared_folder
from .usage import build_lock, is_complete, remove_unused, use


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
    except (ProgramError, ValueError, RuntimeError, OSError) as error:
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
        _install(task, plan, checkout, venv)
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
    _install(task, plan, checkout, shared / "venv")
    _mark(shared, {"start": "", "contents": contents(shared / "venv")})
    return ""


def _install(task: dict[str, Any], plan: FetchPlan, checkout: Path, venv: Path) -> None:
    # Imported here: if another environment is reused, nothing is installed.
    from .install import install

    print_lines(install(task, plan, checkout, venv), "building")


def _start_script(checkout: Path) -> str:
    """Return the path of the start script; empty if there is none."""
    with chdir(checkout):
        binder = next((name for name in ("binder", ".binder") if Path(name).is_dir()), "")
        start = Path(binder, "start")
        if not start.is_file():
            return ""
        refuse_link_outside(start)
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


if __name__ == "__main__":
    # Every line was flushed. Python would take 10 ms to free all objects one by one.
    os._exit(main())
