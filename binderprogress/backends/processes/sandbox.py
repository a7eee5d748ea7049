"""A namespace for what fetches repositories, made with bubblewrap where that works.

In it are the system's folders, read-only, and one folder to write into: no home folders, no other
process, no state of services. The network is the machine's.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["sandboxed", "why_no_sandbox"]

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix")
# How names are looked up.
_RESOLVERS = ("/run/systemd/resolve", "/run/nscd", "/var/run/nscd")
_CERTIFICATES = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("GIT_SSL_CAINFO", "GIT_SSL_CAPATH"),
)


def why_no_sandbox() -> str:
    """Say why there can be none, or nothing if bubblewrap is there.

    Whether it works shows when it runs.
    """
    if sys.platform != "linux":
        return "namespaces need Linux"
    if shutil.which("bwrap") is None:
        return "bubblewrap (the command bwrap) is not installed"
    return ""


def sandboxed(
    argv: Sequence[str], *, writable: Path, folder: Path, readable: Iterable[str] = ()
) -> list[str]:
    """Return the command that runs a program in a namespace of its own.

    Parameters
    ----------
    argv : sequence of str
    writable : Path
        The only folder that can be written to.
    folder : Path
        Where it starts; within `writable`.
    readable : iterable of str
        More files and folders that it may read.
    """
    command = ["bwrap", "--die-with-parent", "--new-session"]
    command += ["--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    for name in _SYSTEM:
        path = Path(name)
        # /bin is a link to usr/bin on most systems.
        if path.is_symlink():
            command += ["--symlink", str(path.readlink()), name]
        else:
            command += ["--ro-bind-try", name, name]
    command += ["--proc", "/proc", "--dev", "/dev"]
    for name in [*_RESOLVERS, *_of_python(), *_of_git(), *_certificates(), *readable]:
        command += ["--ro-bind-try", name, name]
    command += ["--bind", str(writable), str(writable), "--remount-ro", "/"]
    return [*command, "--chdir", str(folder), "--", *argv]


def _of_python() -> list[str]:
    folders = [sys.prefix, sys.base_prefix, *sys.path, str(Path(__file__).parents[3])]
    return [folder for folder in dict.fromkeys(folders) if folder and _may_be_shown(Path(folder))]


def _of_git() -> list[str]:
    found = shutil.which("git")
    if found is None:
        return []
    folders = {path.parent for path in (Path(found), Path(found).resolve())}
    prefixes = {folder.parent for folder in folders if _may_be_shown(folder.parent)}
    return [str(path) for path in sorted(folders | prefixes)]


def _certificates() -> list[str]:
    return [value for name in _CERTIFICATES if (value := os.environ.get(name))]


def _may_be_shown(folder: Path) -> bool:
    """Say whether it is none of those that hold home folders, nor a home itself."""
    home = Path.home()
    return folder.is_dir() and folder not in (home, *home.parents)
