"""The packages that tests install with uv: a cache of their own, with bytecode.

uv's cache has no bytecode, so Python compiles JupyterLab for each new environment, which takes
longer than the start of its server. With hard links, uv installs what is next to the modules, too.

A third of the files of an environment with JupyterLab are those of jedi, which completes code.
IPython works without it, so most tests leave it out, with uv's `EXCLUDE`.

Where a test needs Jupyter, but not what it shows, Jupyter Server alone starts in half of the time:
see `plain_jupyter`. Most tests only need some server with a token: see `small_jupyter`.
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


@functools.cache
def plain_jupyter() -> str:
    """Return the path of a package whose `jupyter-lab` is Jupyter Server without JupyterLab."""
    return _wheel("plain_jupyter", "jupyter_server.serverapp:main", "jupyter-server>=2.20")


@functools.cache
def small_jupyter() -> str:
    """Return the path of a package whose `jupyter-lab` is `tests.support.small_jupyter`."""
    return _wheel("small_jupyter", "small_jupyter:main", module=_SMALL.read_text())


_SMALL = Path(__file__).with_name("small_jupyter.py")


def _wheel(name: str, main: str, requires: str = "", *, module: str = "") -> str:
    """Make a package with a script `jupyter-lab`, if it is not there yet; return its path."""
    info = f"{name}-1.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1\n"
        + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\njupyter-lab = {main}\n",
        **({f"{name}.py": module} if module else {}),
    }
    files[f"{info}/RECORD"] = "\n".join(f"{each},," for each in [*files, f"{info}/RECORD"])
    # The folder names what is in it: another version of the tests has another.
    digest = hashlib.sha256(repr(files).encode()).hexdigest()[:8]
    wheel = kept_folder() / f"wheels-{digest}" / f"{name}-1-py3-none-any.whl"
    with FileLock(kept_folder() / "plain.lock"):
        if not wheel.exists():
            wheel.parent.mkdir(exist_ok=True)
            with zipfile.ZipFile(wheel.with_suffix(".new"), "w") as archive:
                for path, text in files.items():
                    archive.writestr(path, text)
            wheel.with_suffix(".new").replace(wheel)
    return str(wheel)


def remove(folder: Path) -> None:
    """Remove environments. At the end of a run, pytest would take three times as long."""
    _run("rm", "-rf", "--", folder, env=dict(os.environ))


def _run(*command: str | Path, env: dict[str, str]) -> None:
    subprocess.run(command, env=env, check=True, timeout=280)
