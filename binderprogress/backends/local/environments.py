"""The environments on this machine: which there are, their sizes, and how they are removed.

`usage` says who uses them.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from ..disk import GRACE
from .marker import MARKER, SIZE
from .usage import NAME, build_lock, is_complete, is_used, last_used, take_out_of_use

__all__ = ["Environment", "Environments", "built_at", "committed_at", "disk_usage"]

_SETTLED = 600.0
"""Seconds after which the size of an environment is noted. Python compiles the modules that first
servers import."""


class Environment(msgspec.Struct, frozen=True):
    """An environment on this machine.

    Attributes
    ----------
    folder : Path
    size : int
        Its disk space in bytes. Files that it shares with uv's cache count in part.
    last_used : float
        Seconds since the epoch.
    in_use : bool
        Whether a server uses it, or it is being built.
    """

    folder: Path
    size: int
    last_used: float
    in_use: bool


class _Marker(msgspec.Struct, frozen=True):
    committed: float | None = None


def built_at(folder: Path) -> float | None:
    """Return when an environment was completed, in seconds since 1970; None if it was not."""
    try:
        return (folder / MARKER).stat().st_mtime if is_complete(folder) else None
    except OSError:
        return None


def committed_at(folder: Path) -> float | None:
    """Return when an environment's commit was made, in seconds since 1970.

    None if that is not known, as of a record, or of an environment of an earlier version.
    """
    try:
        return msgspec.json.decode((folder / MARKER).read_bytes(), type=_Marker).committed
    except (OSError, msgspec.MsgspecError):
        return None


class Environments:
    """The environments in a folder. All methods do I/O.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Measuring them takes a while.
        self._sizes: dict[Path, int] = {}

    def find(self) -> list[Environment]:
        """Return the complete environments, the least recently used first."""
        found = [self._describe(folder) for folder in self._folders() if is_complete(folder)]
        return sorted(found, key=lambda environment: environment.last_used)

    def remove(self, folder: Path, *, unused_for: float = GRACE) -> bool:
        """Remove an environment, unless it is in use.

        Parameters
        ----------
        folder : Path
        unused_for : float
            Seconds for which it must not have been used.

        Returns
        -------
        bool
            Whether it was removed.
        """
        try:
            with build_lock(folder) as lock:
                if not lock.acquire(wait=False) or not take_out_of_use(folder, unused_for):
                    return False
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            return False  # it is not ours
        self._sizes.pop(folder, None)
        return not folder.exists()

    def remove_incomplete(self, *folders: Path) -> list[Path]:
        """Remove environments whose build failed or was killed, and return their folders.

        Parameters
        ----------
        *folders : Path
            Some of them. The default is all.
        """
        removed = []
        for folder in folders or self._folders():
            if not folder.is_dir() or is_complete(folder):
                continue
            with suppress(OSError), build_lock(folder) as lock:  # it may not be ours
                if lock.acquire(wait=False) and not is_complete(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                    removed.append(folder)
        return removed

    def shrink(self, budget: int) -> list[Environment]:
        """Remove the least recently used environments until the others fit, and return them.

        Parameters
        ----------
        budget : int
            Bytes.
        """
        environments = self.find()
        total = sum(environment.size for environment in environments)
        removed = []
        for environment in environments:
            if total <= budget:
                break
            if not environment.in_use and self.remove(environment.folder):
                total -= environment.size
                removed.append(environment)
        return removed

    def _folders(self) -> list[Path]:
        try:
            entries = list(self._folder.iterdir())
        except FileNotFoundError:
            return []
        return [
            path
            for path in entries
            if NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
        ]

    def _describe(self, folder: Path) -> Environment:
        if folder not in self._sizes:
            size = _noted_size(folder)
            self._sizes[folder] = _measured(folder) if size is None else size
        return Environment(folder, self._sizes[folder], last_used(folder), is_used(folder))


def _noted_size(folder: Path) -> int | None:
    """Return the size that an earlier process has measured; None if there is none."""
    try:
        # Attack: a postBuild puts a pipe there.
        file = os.open(folder / SIZE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return int(os.read(file, 20))
    except (OSError, ValueError):
        return None
    finally:
        os.close(file)


def _measured(folder: Path) -> int:
    """Measure an environment, and note its size if it does not change any more.

    Commands that launch once would otherwise look at all files of all environments each time.
    """
    size = disk_usage(folder)
    built = built_at(folder)
    if built is not None and time.time() - built > _SETTLED:
        # It is not replaced. Attack: a postBuild puts a link there.
        with suppress(OSError), (folder / SIZE).open("x") as file:
            file.write(str(size))
    return size


def disk_usage(folder: Path) -> int:
    """Return the disk space of a folder in bytes. A file with several names counts in part."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.lstat(os.path.join(parent, name))  # noqa: PTH118 - of 20,000 files
            except FileNotFoundError:
                continue  # it was removed meanwhile
            total += status.st_blocks * 512 // status.st_nlink
    return total
