"""Images for a real node: what keeps the network of a pod, and repo2docker."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import tomllib
from pathlib import Path

from filelock import FileLock

from ..podman.podman_support import add_pypi, make_debian
from .container_images import busybox_image, write_image
from .packages import kept_folder

__all__ = ["BUILD_IMAGE", "build_image", "pause_image"]

BUILD_IMAGE = "localhost/repo2docker:1"

_ROOT = Path(__file__).parents[2]
_DEBIAN = ["python3", "git", "podman", "ca-certificates"]
_RECIPE = 1
_CONFIG = """\
from repo2docker.contentproviders import Git
# The others ask the internet whether an address is theirs.
c.Repo2Docker.content_providers = [Git]
"""
_ENTRY = """\
[repo2docker.engines]
binderprogress-podman = binderprogress.deploy.podman_engine:PodmanEngine
"""


def pause_image(folder: Path, programs: Path) -> Path:
    """Write the image of the container that each pod has besides its own."""
    archive = folder / "pause.tar"
    forever = ["sleep", "2147483647"]
    busybox_image(archive, "localhost/pause:1", programs / "bin" / "busybox", command=forever)
    return archive


def build_image(folder: Path) -> Path:
    """Write an image with repo2docker, our engine, and podman as a client of its service.

    Debian's packages and those of PyPI are kept between runs. That takes two minutes once.
    """
    ours = folder / "ours.tar"
    site = "usr/local/lib/python3.11/dist-packages"
    with tarfile.open(ours, "w") as tar:
        for path in sorted((_ROOT / "binderprogress").rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                tar.add(path, f"{site}/{path.relative_to(_ROOT)}")
        info = f"{site}/binderprogress-0.dist-info"
        _add(tar, f"{info}/METADATA", "Metadata-Version: 2.1\nName: binderprogress\nVersion: 0\n")
        _add(tar, f"{info}/entry_points.txt", _ENTRY)
        _add(tar, "etc/repo2docker_config.py", _CONFIG)
    archive = folder / "repo2docker.tar"
    write_image(archive, BUILD_IMAGE, [_others(), ours], command=["jupyter-repo2docker"])
    return archive


def _others() -> Path:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    packages = [*project["dependencies"], *project["optional-dependencies"]["repo2docker"]]
    parts = [*_DEBIAN, *packages, str(_RECIPE)]
    key = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]
    kept = kept_folder() / f"repo2docker-{key}.tar"
    with FileLock(kept_folder() / "repo2docker.lock"):
        if not kept.exists():
            made = kept.with_suffix(".new.tar")
            make_debian(made, _DEBIAN)
            add_pypi(made, kept.with_suffix(".packages"), packages)
            subprocess.run(["rm", "-rf", "--", kept.with_suffix(".packages")], check=True)
            for old in {*kept_folder().glob("repo2docker-*.tar")} - {made}:
                old.unlink()
            made.rename(kept)
    return kept


def _add(tar: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(text), 0o644
    tar.addfile(member, io.BytesIO(text.encode()))
