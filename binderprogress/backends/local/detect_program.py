"""The program that detects what a repository needs, in the current folder.

It prints one JSON object, a `Detected`. It reads files that strangers wrote, with repo2docker's
code, and so it runs where fetching does: in a namespace where that works, see `detect`.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from ..buildpacks import pick_buildpack
from ..fetch.options import FetchPlan
from ..processes.child import limited
from ..processes.sandbox import sandboxed

__all__ = ["Detected", "detect"]

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
OURS = f"{sys.version_info[0]}.{sys.version_info[1]}"
"""The version of Python that runs this."""
_VERSION = re.compile(r"[23](\.\d+){0,2}")
_LONGEST_PROBLEM = 2000


class Detected(msgspec.Struct, frozen=True):
    """What a repository needs.

    Attributes
    ----------
    binder_folder : str
        Where its files are: ``binder``, ``.binder``, or empty for the root.
    python : str
        The version of Python.
    is_package : bool
        Whether the repository is a Python package to install.
    problem : str
        Why it cannot be built; then the rest says nothing.
    """

    binder_folder: str = ""
    python: str = OURS
    is_package: bool = False
    problem: str = ""

    def path(self, name: str) -> Path:
        """Return where a file of that name is looked for."""
        return Path(self.binder_folder, name)


def detect(plan: FetchPlan, checkout: Path) -> Detected:
    """Run this program on a repository that was checked.

    Parameters
    ----------
    plan : FetchPlan
        How the repository was fetched: detection gets the same limits and namespace.
    checkout : Path

    Raises
    ------
    RuntimeError
        If the program ends without an answer; the message has the end of what it printed.
    """
    # Next to the checkout: in a namespace, the system's temporary folder is not there.
    with tempfile.TemporaryDirectory(dir=checkout.parent, prefix="detecting-") as aside:
        argv = [sys.executable, "-P", "-m", __name__]
        if plan.sandbox:
            argv = sandboxed(argv, writable=Path(aside), folder=checkout, readable=[str(checkout)])
        done = subprocess.run(
            limited(argv, plan.limits),
            env={**plan.env, "TMPDIR": aside},
            cwd=checkout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-_LONGEST_PROBLEM:]
        raise RuntimeError(f"The repository could not be examined: {said}")
    return msgspec.json.decode(done.stdout, type=Detected)


def main() -> None:
    """Print what the repository in the current folder needs."""
    try:
        detected = _detect()
    except (ValueError, RuntimeError, OSError) as error:
        # ValueError and RuntimeError are how repo2docker refuses a runtime.txt.
        detected = Detected(problem=str(error)[:_LONGEST_PROBLEM])
    sys.stdout.buffer.write(msgspec.json.encode(detected))


def _detect() -> Detected:
    buildpack = pick_buildpack()
    problem = _needs_an_engine(buildpack)
    if problem:
        return Detected(problem=problem)
    is_package = bool(buildpack._is_python_package())
    return Detected(
        binder_folder=str(buildpack.binder_dir),
        python=_python_version(buildpack, is_package=is_package),
        is_package=is_package,
    )


def _needs_an_engine(buildpack: Any) -> str:
    name = type(buildpack).__name__
    candidates = [buildpack.binder_path("apt.txt")]
    for file in _BUILDPACK_FILES.get(name, []):
        # R's DESCRIPTION is looked for in the root, the others in the binder folder.
        candidates += [buildpack.binder_path(file), file]
    for path in candidates:
        if Path(path).is_file():
            return (
                f"{path} is not supported without a container engine. Launch it with Docker or "
                "Podman (--engine docker), or list what it needs in requirements.txt."
            )
    if name != "PythonBuildPack":
        return f"{name} is not supported without a container engine."
    return ""


def _python_version(buildpack: Any, *, is_package: bool) -> str:
    name, version, _date = buildpack.runtime
    if name == "python" and version:
        # To uv, what is no version is the name of a program to run.
        if not _VERSION.fullmatch(version):
            raise ValueError(f"Invalid runtime.txt: python-{version} names no version of Python.")
        return str(version)
    wanted = _requires_python() if is_package else ""
    if wanted and not SpecifierSet(wanted).contains(platform.python_version(), prereleases=True):
        return wanted
    # What runs here is here: no download, and what most repositories want.
    return OURS


def _requires_python() -> str:
    """Return what pyproject.toml says of Python's version, as uv takes it too."""
    path = Path("pyproject.toml")
    project = tomllib.loads(path.read_text()).get("project", {}) if path.is_file() else {}
    wanted = str(project.get("requires-python", ""))
    try:
        SpecifierSet(wanted)
    except InvalidSpecifier:
        raise ValueError(f"pyproject.toml: requires-python {wanted!r} is not valid.") from None
    return wanted


if __name__ == "__main__":
    main()
