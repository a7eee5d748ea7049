"""Builds the image of the server with the Containerfile that we ship."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from ..support.kustomize import KUBERNETES
from ..support.packages import kept_folder, uv_cache
from .podman_support import Podman

ROOT = Path(__file__).parents[2]
IMAGE = "localhost/binderprogress:test"
_BASE = "localhost/binderprogress-debian:1"
# What the Containerfile installs, so that apt has little to do.
_PACKAGES = ["ca-certificates", "git", "python3", "python3-venv"]
# How this machine reaches package indexes, which the build needs as well.
_NETWORK = [
    "/etc/apt",
    "/etc/pip.conf",
    "/etc/ssl/certs",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
]


def build(podman: Podman, folder: Path) -> None:
    """Build the wheel and the image, in an empty folder."""
    command = [sys.executable, "-m", "build", "--installer", "uv", "--wheel", "--outdir"]
    subprocess.run(
        [*command, str(folder / "dist"), "."],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=300,
    )
    podman.run("import", "--quiet", str(_base()), _BASE, timeout=300)
    settings = folder / "uv.toml"
    settings.write_text("native-tls = true\n")
    mounts = {name: name for name in _NETWORK if Path(name).exists()}
    mounts[str(settings)] = "/etc/uv/uv.toml"
    volumes = [f"--volume={source}:{target}:ro" for source, target in mounts.items()]
    podman.run(
        *("build", "--layers=false", f"--build-arg=BASE={_BASE}", f"--tag={IMAGE}"),
        *(f"--file={KUBERNETES / 'Containerfile'}", f"--volume={uv_cache()}:/root/.cache/uv"),
        *(*volumes, str(folder)),
        timeout=900,
    )


def _base() -> Path:
    """Make a Debian with apt, or take it from the cache."""
    codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
    folder = kept_folder()
    cached = folder / f"debian-{codename}-{platform.machine()}-{'-'.join(_PACKAGES)}.tar"
    with FileLock(folder / "debian.lock"):
        if not cached.exists():
            made = cached.with_suffix(".new")
            made.unlink(missing_ok=True)
            sources = Path("/etc/apt/sources.list.d/debian.sources")
            subprocess.run(
                [
                    *("mmdebstrap", "--quiet", "--variant=apt", "--format=tar"),
                    *(f"--include={','.join(_PACKAGES)}", "--", codename, str(made)),
                    *([str(sources)] if sources.exists() else []),
                ],
                check=True,
                timeout=600,
            )
            made.replace(cached)
    return cached
