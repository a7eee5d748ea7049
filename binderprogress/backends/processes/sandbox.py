"""A namespace for programs that read untrusted repositories, created with bubblewrap.

It contains the folders of the system, read-only, and one writable folder. It has no home folders,
no other processes, and no state of services. The network is that of the machine.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["sandboxed", "why_no_sandbox"]

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix")
# Files and sockets for resolving names.
_RESOLVERS = ("/run/systemd/resolve", "/run/nscd", "/var/run/nscd")
_CERTIFICATES = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("GIT_SSL_CAINFO", "GIT_SSL_CAPATH"),
)


def why_no_sandbox() -> str:
    """Return why there can be no namespace; empty if bubblewrap is installed.

    It may still not work.
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
        The only writable folder.
    folder : Path
        The current folder of the program.
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
    git = shutil.which("git")
    if git is None:
        return []
    folders = {path.parent for path in (Path(git), Path(git).resolve())}
    prefixes = {folder.parent for folder in folders if _may_be_shown(folder.parent)}
    return [str(path) for path in sorted(folders | prefixes)]


def _certificates() -> list[str]:
    return [value for name in _CERTIFICATES if (value := os.environ.get(name))]


def _may_be_shown(folder: Path) -> bool:
    """Whether a folder is neither the home folder nor one of its parents."""
    home = Path.home()
    return folder.is_dir() and folder not in (home, *home.parents)
