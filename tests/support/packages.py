"""The packages that tests install with uv: a cache of their own, with bytecode.

uv's cache has no bytecode, so Python compiles JupyterLab for each new environment, which takes
longer than the start of its server. With hard links, uv installs what is next to the modules, too.

A third of the files of an environment with JupyterLab are those of jedi, which completes code.
IPython works without it, so most tests leave it out, with uv's `EXCLUDE`.

Where a test needs a server, but not what it shows, Jupyter Server alone starts in half of the time:
see `plain_jupyter`.
"""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from filelock import FileLock

_UV = Path(sys.executable).with_name("uv")
_PACKAGES = [
    # The default of `LocalBuilder.base_packages`, and what the demo's examples need.
    *("jupyterlab>=4", "notebook>=7", "ipywidgets>=8", "matplotlib>=3.8", "voila>=0.5"),
    # What is large of our own requirements, for the wheel.
    *("alembic>=1.13", "configurable-http-proxy>=0.4", "jupyter-repo2docker", "jupyterhub>=5.5.1"),
    *("aiohttp", "rich", "sqlalchemy>=2"),
]
EXCLUDE = "UV_EXCLUDE"
"""The variable that names a file with packages to leave out. Builds see it if it is passed on."""

_MAX_AGE = 86400.0
"""Seconds. There may be new versions then."""


def kept_folder() -> Path:
    """Return a folder for what is kept between runs, outside of the user's home."""
    folder = Path("/var/tmp", f"binderprogress-tests-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    # Attack: another user has made it before.
    if folder.lstat().st_uid != os.getuid():
        raise RuntimeError(f"{folder} belongs to another user; remove it.")
    return folder


def uv_cache() -> Path:
    """Return the folder of uv's cache."""
    return kept_folder() / "uv"


def excluded() -> Path:
    """Return the file for `EXCLUDE`."""
    return Path(__file__).with_name("excluded.txt")


@functools.cache
def compile_jupyter() -> None:
    """Fill the cache with packages and their bytecode, if that was not done today."""
    cache = uv_cache()
    digest = hashlib.sha256(" ".join(_PACKAGES).encode()).hexdigest()[:8]
    compiled = kept_folder() / f"compiled-{sys.implementation.cache_tag}-{digest}"
    # Tests run in several processes.
    with FileLock(kept_folder() / "uv.lock"):
        if compiled.exists() and time.time() - compiled.stat().st_mtime < _MAX_AGE:
            return
        env = {**os.environ, "UV_CACHE_DIR": str(cache), "UV_LINK_MODE": "hardlink"}
        with tempfile.TemporaryDirectory(dir=kept_folder()) as venv:
            _run(_UV, "venv", "--quiet", "--clear", "--python", sys.executable, venv, env=env)
            _run(_UV, "pip", "install", "--quiet", "--python", venv, *_PACKAGES, env=env)
        _run(sys.executable, "-m", "compileall", "-q", cache / "archive-v0", env=env)
        compiled.touch()


_DIST = "plain_jupyter-1.dist-info"
_PLAIN = {
    f"{_DIST}/METADATA": "Metadata-Version: 2.1\nName: plain-jupyter\nVersion: 1\n"
    "Requires-Dist: jupyter-server>=2.20\n",
    f"{_DIST}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{_DIST}/entry_points.txt": "[console_scripts]\njupyter-lab = jupyter_server.serverapp:main\n",
}


@functools.cache
def plain_jupyter() -> str:
    """Return the path of a package whose `jupyter-lab` is Jupyter Server without JupyterLab."""
    wheel = kept_folder() / "plain_jupyter-1-py3-none-any.whl"
    with FileLock(kept_folder() / "plain.lock"):
        if not wheel.exists():
            record = [f"{name},," for name in [*_PLAIN, f"{_DIST}/RECORD"]]
            with zipfile.ZipFile(wheel.with_suffix(".new"), "w") as archive:
                for name, text in [*_PLAIN.items(), (f"{_DIST}/RECORD", "\n".join(record))]:
                    archive.writestr(name, text)
            wheel.with_suffix(".new").replace(wheel)
    return str(wheel)


def remove(folder: Path) -> None:
    """Remove environments. At the end of a run, pytest would take three times as long."""
    _run("rm", "-rf", "--", folder, env=dict(os.environ))


def _run(*command: str | Path, env: dict[str, str]) -> None:
    subprocess.run(command, env=env, check=True, timeout=280)
