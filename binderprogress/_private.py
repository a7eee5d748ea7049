"""Folders and files that only their owner may read, whatever the umask is."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["make_private_file", "make_private_folder", "readable_by_others"]


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it, with mode 0700; what is there stays as it is.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    # Path.mkdir gives the mode to the last one only.
    for one in (*reversed(folder.parents), folder):
        one.mkdir(exist_ok=True, mode=0o700)


def make_private_file(path: Path) -> None:
    """Make an empty file with mode 0600; what is there stays as it is.

    Whoever writes into it afterwards keeps the mode.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def readable_by_others(path: Path) -> bool:
    """Whether anyone but its owner may do anything with a file."""
    return bool(path.stat().st_mode & 0o077)
