"""Checks a checkout before anything reads it: no link may point outside.

Attack: repo2docker parses files of a repository (``runtime.txt``, ``apt.txt``, ``binder/…``) on the
server. If one is a symbolic link to ``/proc/self/environ`` or to a key, its target ends up in the
launch's log, or in the image.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

__all__ = [
    "CONFIGURATION",
    "Links",
    "UnsafeCheckoutError",
    "check_checkout",
    "leads_outside",
    "refuse_link_outside",
]

Links = Mapping[tuple[str, ...], str]
"""The symbolic links of a folder: the target of each path."""

_MOST_LINKS = 40
"""Maximum length of a chain of links. The kernel follows no more."""
_MOST_STEPS = 5_000_000
"""Maximum number of steps. Attack: 100,000 links of 4,000 characters, which point to each other."""
_DEEPEST = 200
"""Maximum depth of folders. Attack: a deeper tree exhausts file descriptors, or the stack."""
_LARGEST = 16 * 2**20
"""Maximum size of a configuration file in bytes. Attack: a ``requirements.txt`` of 10 GB."""
CONFIGURATION = {
    *("apt.txt", "environment.yaml", "environment.yml", "requirements.txt", "runtime.txt"),
    *("Pipfile", "Pipfile.lock", "pyproject.toml", "setup.cfg", "setup.py", "uv.toml"),
    *("DESCRIPTION", "JuliaProject.toml", "Manifest.toml", "Project.toml", "REQUIRE", "install.R"),
    *("Dockerfile", ".containerignore", ".dockerignore", "default.nix", "postBuild", "start"),
}
"""The configuration files that are read on the server, in the root or in the binder folder."""


class UnsafeCheckoutError(ValueError):
    """A path in a checkout is not safe to read. The message has the path, but not its target."""


def check_checkout(folder: Path) -> None:
    """Reject a checkout that has anything but files, folders and links to paths inside.

    The result does not depend on files outside: the error is the same whether a link's target
    exists or not.

    Parameters
    ----------
    folder : Path
        The checkout. No other user may have write permission.

    Raises
    ------
    UnsafeCheckoutError
        With the first path that is not allowed.
    OSError
        If the folder cannot be read.
    """
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        walk = _Walk()
        walk.folder(root, ())
    finally:
        os.close(root)
    walk.check_hard_links()
    steps = [_MOST_STEPS]
    real = os.path.realpath(folder)
    for path in walk.links:
        # The second check uses the file system, which may treat different names as equal.
        if leads_outside(path, walk.links, steps) or _really_leads_outside(real, path):
            raise UnsafeCheckoutError(
                f"{_shown(path)} is a symbolic link that points outside the repository."
            )
        if steps[0] <= 0:
            raise UnsafeCheckoutError(
                f"{_shown(path)} is one of too many symbolic links that lead to each other."
            )


def leads_outside(path: tuple[str, ...], links: Links, steps: list[int] | None = None) -> bool:
    """Return whether a link points outside its checkout, or into a ``.git`` folder.

    Parameters
    ----------
    path : tuple of str
        The parts of the link's path.
    links : mapping
        All symbolic links of the checkout.
    steps : list of int, optional
        One number, from which the number of steps is subtracted. The check ends at 0.

    Notes
    -----
    A name that does not exist is treated as a folder, because it may be created later.
    """
    steps = [_MOST_STEPS] if steps is None else steps
    place, pending, followed = list(path[:-1]), [path[-1]], 0
    while pending and steps[0] > 0:
        steps[0] -= 1
        name = pending.pop()
        if name in ("", "."):
            continue
        if name == "..":
            if not place:
                return True
            place.pop()
            continue
        if followed and name.casefold() == ".git":
            return True
        target = links.get((*place, name))
        if target is None:
            place.append(name)
            continue
        followed += 1
        if followed > _MOST_LINKS:
            return False
        # An absolute target is outside as soon as the checkout is copied into an image.
        if target.startswith("/"):
            return True
        pending += reversed(target.split("/"))
    return False


def _really_leads_outside(root: str, path: tuple[str, ...]) -> bool:
    try:
        target = os.path.realpath(Path(root, *path))
    except RecursionError:
        return False  # more links than the kernel follows
    return os.path.commonpath([root, target]) != root


def refuse_link_outside(path: Path) -> None:
    """Check a path again, after code of the repository has run.

    Attack: a setup.py or a postBuild script replaces a file with a link, before the file is made
    executable.

    Parameters
    ----------
    path : Path
        Relative to the checkout, which is the current folder.

    Raises
    ------
    UnsafeCheckoutError
    """
    if not path.resolve().is_relative_to(Path.cwd()):
        raise UnsafeCheckoutError(f"{path} is a symbolic link that points outside the repository.")


class _Walk:
    """Walks a tree by file descriptors, so that replacing a folder cannot lead it outside."""

    def __init__(self) -> None:
        self.links: dict[tuple[str, ...], str] = {}
        # By device and inode: the number of names seen, the number of links, and one name.
        self._hard: dict[tuple[int, int], tuple[int, int, tuple[str, ...]]] = {}

    def folder(self, descriptor: int, path: tuple[str, ...]) -> None:
        if len(path) > _DEEPEST:
            raise UnsafeCheckoutError(
                f"{_shown(path[:1])} has folders that are nested more than {_DEEPEST} deep."
            )
        for name in sorted(os.listdir(descriptor)):
            inner = (*path, name)
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                below = os.open(name, flags, dir_fd=descriptor)
                try:
                    self.folder(below, inner)
                finally:
                    os.close(below)
            elif stat.S_ISLNK(status.st_mode):
                self.links[inner] = os.readlink(name, dir_fd=descriptor)
            elif stat.S_ISREG(status.st_mode):
                self._file(inner, status)
            else:
                raise UnsafeCheckoutError(
                    f"{_shown(inner)} is neither a file, a folder nor a symbolic link."
                )

    def _file(self, path: tuple[str, ...], status: os.stat_result) -> None:
        if status.st_nlink > 1:
            key = (status.st_dev, status.st_ino)
            seen = self._hard.get(key, (0, 0, path))[0]
            self._hard[key] = (seen + 1, status.st_nlink, path)
        is_read = path[-1] in CONFIGURATION and path[:-1] in ((), ("binder",), (".binder",))
        if is_read and status.st_size > _LARGEST:
            raise UnsafeCheckoutError(
                f"{_shown(path)} is larger than the {_LARGEST // 2**20} MiB that are read here."
            )

    def check_hard_links(self) -> None:
        for seen, names, path in self._hard.values():
            if seen < names:
                raise UnsafeCheckoutError(
                    f"{_shown(path)} is a hard link that points outside the repository."
                )


def _shown(path: tuple[str, ...]) -> str:
    """Return a path for a message, without control characters and not too long."""
    text = "/".join(path)
    text = text if len(text) <= 200 else f"{text[:99]}…{text[-100:]}"
    return text if text.isprintable() else ascii(text)
