"""The program that `LocalBuilder` runs, one process a build: fetch, detect, make the environment.

It speaks as ``repo2docker --json-logs`` does: JSON lines with ``message`` and ``phase``. Being a
process of its own, a build can be cancelled at any point, and repo2docker's blocking code and its
changes of folder stay out of the server.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from repo2docker.app import Repo2Docker
from repo2docker.contentproviders import Git
from repo2docker.contentproviders.base import ContentProviderException
from repo2docker.utils import chdir, execute_cmd
from uv import find_uv_bin

from .local import MARKER

# What the buildpacks other than Python's are detected by, for the sentence that refuses them.
_BUILDPACK_FILES = {
    "LegacyBinderDockerBuildPack": ["Dockerfile"],
    "DockerBuildPack": ["Dockerfile"],
    "JuliaProjectTomlBuildPack": ["Project.toml", "JuliaProject.toml"],
    "JuliaRequireBuildPack": ["REQUIRE"],
    "NixBuildPack": ["default.nix"],
    "RBuildPack": ["install.R", "DESCRIPTION", "runtime.txt"],
    "CondaBuildPack": ["environment.yml", "environment.yaml"],
    "PipfileBuildPack": ["Pipfile", "Pipfile.lock"],
}


class BuildError(Exception):
    """A sentence for the log, before the build ends with 1."""


def say(message: str, phase: str) -> None:
    """Print one line of the log."""
    print(json.dumps({"message": message, "phase": phase}), flush=True)  # noqa: T201 - its output


def say_all(lines: Iterator[str], phase: str) -> None:
    """Print lines as a program writes them."""
    for line in lines:
        say(line, phase)


def main() -> int:
    """Build what the first argument, a JSON object, names."""
    task: dict[str, Any] = json.loads(sys.argv[1])
    folder = Path(task["folder"])
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _locked(folder):
            # Another process may have made it while this one waited.
            if not (folder / MARKER).is_file():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                _build(task, folder)
    except subprocess.CalledProcessError as error:
        say(f"{Path(error.cmd[0]).name} exited with status {error.returncode}.\n", "failed")
        return 1
    except (BuildError, ContentProviderException, ValueError, RuntimeError, OSError) as error:
        # ValueError and RuntimeError are how repo2docker refuses a ref or a runtime.txt.
        say(f"{error}\n", "failed")
        return 1
    return 0


def _locked(folder: Path) -> FileLock:
    lock = FileLock(folder.with_name(folder.name + ".lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        say("Waiting for another process that builds the same environment.\n", "building")
        lock.acquire()
    return lock


def _build(task: dict[str, Any], folder: Path) -> None:
    checkout, venv = folder / "repository", folder / "venv"
    _fetch(task, checkout)
    with chdir(str(checkout)):
        buildpack = _detect()
        _refuse_what_needs_an_engine(buildpack)
        for title, command in _commands(buildpack, task["base_packages"], venv):
            say(f"{title}\n", "building")
            say_all(execute_cmd(command, capture=True, env=_environment(venv)), "building")
        start = Path(buildpack.binder_path("start"))
        made = {**task, "start": str(start) if start.is_file() else ""}
    # Written last: an environment without it is not whole.
    (folder / MARKER).write_text(json.dumps(made))


def _fetch(task: dict[str, Any], checkout: Path) -> None:
    provider = Git()
    source = {"repo": task["repo_url"], "ref": task["commit"]}
    say("Picked Git content provider.\n", "fetching")
    say_all(provider.fetch(source, str(checkout), yield_output=True), "fetching")


def _detect() -> Any:
    for buildpack_class in Repo2Docker.buildpacks.default():
        buildpack = buildpack_class(base_image="")
        if buildpack.detect():
            return buildpack
    return Repo2Docker.default_buildpack.default_value(base_image="")


def _refuse_what_needs_an_engine(buildpack: Any) -> None:
    name = type(buildpack).__name__
    candidates = [buildpack.binder_path("apt.txt")]
    for file in _BUILDPACK_FILES.get(name, []):
        # R's DESCRIPTION is looked for in the root, the others in the binder folder.
        candidates += [buildpack.binder_path(file), file]
    for path in candidates:
        if Path(path).is_file():
            raise BuildError(
                f"{path} cannot be honoured without a container engine. Launch it with docker or "
                "podman (--engine docker), or ask for what it needs in requirements.txt."
            )
    if name != "PythonBuildPack":
        raise BuildError(f"{name} cannot be honoured without a container engine.")
    say(f"Using {name} builder\n", "building")


def _commands(
    buildpack: Any, base_packages: list[str], venv: Path
) -> Iterator[tuple[str, list[str]]]:
    uv = find_uv_bin()
    version = _python_version(buildpack)
    yield (
        f"Making an environment with Python {version}",
        [uv, "venv", "--no-config", "--seed", "--python", version, str(venv)],
    )
    install = [uv, "pip", "install", "--python", str(venv), *base_packages]
    requirements = Path(buildpack.binder_path("requirements.txt"))
    title = "Installing Jupyter"
    if requirements.is_file():
        install += ["--requirements", str(requirements)]
        title += f" and {requirements}"
    if buildpack._is_python_package():
        install += ["."]
        title += " and the package in the repository"
    yield title, install
    post_build = Path(buildpack.binder_path("postBuild"))
    if post_build.is_file():
        post_build.chmod(0o755)
        yield "Running postBuild", [str(post_build.resolve())]


def _python_version(buildpack: Any) -> str:
    name, version, _date = buildpack.runtime
    if name == "python" and version:
        return str(version)
    # What runs here is here: no download, and what most repositories want.
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _environment(venv: Path) -> dict[str, str]:
    return {
        **os.environ,
        "VIRTUAL_ENV": str(venv),
        "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        # A plain log, one line a thing.
        "NO_COLOR": "1",
        "UV_NO_PROGRESS": "1",
        # What is there already is linked, not copied.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


if __name__ == "__main__":
    sys.exit(main())
