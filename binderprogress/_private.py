"""Folders and files that only their owner can read, independent of the umask."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["make_private_file", "make_private_folder", "readable_by_others"]


def make_private_folder(folder: Path) -> None:
    """Create a folder and its missing parents with mode 0700. Existing ones are not changed.

    Raises
    ------
    OSError
        If it cannot be created.
    """
    # Path.mkdir applies the mode only to the last folder.
    for path in (*reversed(folder.parents), folder):
        path.mkdir(exist_ok=True, mode=0o700)


def make_private_file(path: Path) -> None:
    """Create an empty file with mode 0600. An existing file is not changed.

    Writing to the file later keeps its mode.

    Raises
    ------
    OSError
        If it cannot be created.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def readable_by_others(path: Path) -> bool:
    """Whether anyone but its owner has any permission on a file."""
    return bool(path.stat().st_mode & 0o077)
