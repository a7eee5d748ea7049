"""Packages of npm that only tests need, without what these depend on."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

from .packages import kept_folder


def unpacked(name: str, version: str) -> Path:
    """Return the folder of a package, which is fetched once."""
    folder = kept_folder() / f"npm-{name}-{version}"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=kept_folder()) as temporary:
                made = Path(temporary)
                done = subprocess.run(
                    ["npm", "pack", "--silent", f"{name}@{version}"],
                    cwd=made,
                    capture_output=True,
                    text=True,
                    timeout=120,
                )
                if done.returncode:
                    pytest.skip(f"npm cannot fetch {name}: {done.stderr.strip()[-200:]}")
                (archive,) = made.glob("*.tgz")
                with tarfile.open(archive) as tar:
                    tar.extractall(made, filter="data")
                shutil.move(made / "package", folder)
    return folder
