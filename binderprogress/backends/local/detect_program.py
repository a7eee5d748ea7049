"""The program that detects what the repository in the current folder needs.

It prints one JSON object, a `Detected`. It reads untrusted files with repo2docker's code, so it
runs in a namespace where that works, as fetching does; see `detect`.
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
from ..fetch.checkout import CONFIGURATION
from ..fetch.options import FetchPlan
from ..processes.limits import limited
from ..processes.sandbox import sandboxed

__all__ = ["Detected", "detect"]

# The files by which repo2docker detects other buildpacks than Python's, for the error message.
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
_PLAIN = {"requirements.txt", "postBuild", "start"}
"""The files that change nothing of what is detected: which buildpack, and which Python."""

OURS = f"{sys.version_info[0]}.{sys.version_info[1]}"
"""The version of Python that runs this."""
_VERSION = re.compile(r"[23](\.\d+){0,2}")
_LONGEST_PROBLEM = 2000


class Detected(msgspec.Struct, frozen=True):
    """What a repository needs.

    Attributes
    ----------
    binder_folder : str
        Folder of its configuration files: ``binder``, ``.binder``, or empty for the root.
    python : str
        The version of Python.
    is_package : bool
        Whether the repository is a Python package to install.
    problem : str
        Why it cannot be built. The other attributes are not set then.
    """

    binder_folder: str = ""
    python: str = OURS
    is_package: bool = False
    problem: str = ""

    def path(self, name: str) -> Path:
        """Return the path of a configuration file."""
        return Path(self.binder_folder, name)


def detect(plan: FetchPlan, checkout: Path) -> Detected:
    """Detect what a checkout needs, by running this program unless that is plain.

    Parameters
    ----------
    plan : FetchPlan
        The plan of the fetch. Detection has the same limits and namespace.
    checkout : Path

    Raises
    ------
    RuntimeError
        If the program fails. The message has the end of its output.
    """
    if (plain := _plain(checkout)) is not None:
        return plain
    # Next to the checkout, because the namespace does not have the system's temporary folder.
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
        output = done.stderr.decode("utf-8", "replace").strip()[-_LONGEST_PROBLEM:]
        raise RuntimeError(f"The repository could not be examined: {output}")
    return msgspec.json.decode(done.stdout, type=Detected)


def _plain(checkout: Path) -> Detected | None:
    """Return what repo2docker detects if there are requirements at most; None: it has to look.

    Importing repo2docker takes longer than making the environment, if packages are cached.
    """
    folders = [name for name in ("binder", ".binder") if (checkout / name).exists()]
    if len(folders) > 1:
        return None
    places = [checkout, *(checkout / name for name in folders)]
    if any((place / name).exists() for place in places for name in CONFIGURATION - _PLAIN):
        return None
    return Detected(binder_folder="".join(folders))


def main() -> None:
    """Print the needs of the repository in the current folder."""
    try:
        detected = _detect()
    except (ValueError, RuntimeError, OSError) as error:
        # repo2docker raises ValueError or RuntimeError for an invalid runtime.txt.
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
        # R's DESCRIPTION is in the root, other files are in the binder folder.
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
        # uv would take anything but a version as the name of a program to run.
        if not _VERSION.fullmatch(version):
            raise ValueError(f"Invalid runtime.txt: {version} is not a version of Python.")
        return str(version)
    wanted = _requires_python() if is_package else ""
    if wanted and not SpecifierSet(wanted).contains(platform.python_version(), prereleases=True):
        return wanted
    # It is installed, and suits most repositories.
    return OURS


def _requires_python() -> str:
    """Return the ``requires-python`` of pyproject.toml; empty if it has none."""
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
