"""Checks what was fetched before anything reads it: nothing in it may lead outside.

Attack: repo2docker parses files of a repository (``runtime.txt``, ``apt.txt``, ``binder/…``) on the
server. If one is a symbolic link to ``/proc/self/environ`` or to a key, what is behind it ends up
in the launch's log, or in the image.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

__all__ = ["Links", "UnsafeCheckoutError", "check_checkout", "leads_outside"]

Links = Mapping[tuple[str, ...], str]
"""The symbolic links of a folder: what each path inside it leads to."""

_MOST_LINKS = 40
"""The kernel follows no more than these; a longer chain leads nowhere."""
_MOST_STEPS = 5_000_000
"""Attack: 100,000 links of 4,000 characters each, which lead to each other."""
_DEEPEST = 200
"""Folders in each other. Attack: a deeper tree exhausts descriptors, or the stack when removed."""
_LARGEST = 16 * 2**20
"""Bytes. Attack: a ``requirements.txt`` of 10 GB of zeros is read as a whole."""
_CONFIGURATION = {
    *("apt.txt", "environment.yaml", "environment.yml", "requirements.txt", "runtime.txt"),
    *("Pipfile", "Pipfile.lock", "pyproject.toml", "setup.cfg", "setup.py", "uv.toml"),
    *("DESCRIPTION", "JuliaProject.toml", "Manifest.toml", "Project.toml", "REQUIRE", "install.R"),
    *("Dockerfile", ".containerignore", ".dockerignore", "default.nix", "postBuild", "start"),
}
"""What is read on the server, in the root or in the binder folder."""


class UnsafeCheckoutError(ValueError):
    """Something in a checkout may not be read; the message names it, and not what is behind it."""


def check_checkout(folder: Path) -> None:
    """Refuse a checkout that has anything but files, folders and links that stay inside.

    Nothing outside is looked at: a link to a file that exists is refused in the same words as one
    to a file that does not.

    Parameters
    ----------
    folder : Path
        The checkout. Nobody else may be able to write there.

    Raises
    ------
    UnsafeCheckoutError
        It names the first path that is not allowed.
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
        # The second way to find out knows what the file system takes for the same name.
        if leads_outside(path, walk.links, steps) or _really_leads_outside(real, path):
            raise UnsafeCheckoutError(
                f"{_shown(path)} is a symbolic link that points outside the repository."
            )
        if steps[0] <= 0:
            raise UnsafeCheckoutError(
                f"{_shown(path)} is one of too many symbolic links that lead to each other."
            )


def leads_outside(path: tuple[str, ...], links: Links, steps: list[int] | None = None) -> bool:
    """Say whether a link leaves its checkout, or leads into a ``.git`` folder.

    Parameters
    ----------
    path : tuple of str
        Where it is: the names of its folders, and its own.
    links : mapping
        All symbolic links of the checkout.
    steps : list of int, optional
        One number, which is lowered by the steps that this takes; it ends when that is 0.

    Notes
    -----
    A name that is not there is taken for a folder, since it may be made later.
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
        # What is absolute leads elsewhere as soon as the checkout is copied into an image.
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


class _Walk:
    """Goes through a tree by its folders' descriptors, so that no swap leads it elsewhere."""

    def __init__(self) -> None:
        self.links: dict[tuple[str, ...], str] = {}
        # By device and inode: how often it was seen, how many names it has, and one of them.
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
        is_read = path[-1] in _CONFIGURATION and path[:-1] in ((), ("binder",), (".binder",))
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
    """Return a path for a message: one line, without anything that a terminal would obey."""
    text = "/".join(path)
    text = text if len(text) <= 200 else f"{text[:99]}…{text[-100:]}"
    return text if text.isprintable() else ascii(text)
