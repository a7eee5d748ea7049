"""The environments on this machine: which there are, who uses them, and how they are removed.

Each has a file that whoever uses it has locked: a Jupyter server as long as it runs. The kernel
releases the lock when it ends. The time of the file is when the environment was last used. Another
lock, next to the folder, is held by the process that builds it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from ..disk import GRACE
from .marker import IN_USE, MARKER, SIZE

__all__ = [
    "BuildLock",
    "Environment",
    "Environments",
    "build_lock",
    "built_at",
    "committed_at",
    "disk_usage",
    "remove_unused",
    "shared_with",
    "use",
]

# Attack, or a mistake: the folder of the environments has other folders, too.
_NAME = re.compile(r"[a-z0-9-]*-[0-9a-f]{32}")

_SETTLED = 600.0
"""Seconds after which the size of an environment is noted. Python compiles the modules that first
servers import."""

_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


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


@contextmanager
def use(folder: Path) -> Iterator[list[int]]:
    """Use an environment, and the one whose packages it shares: they are not removed meanwhile.

    Yields
    ------
    list of int
        File descriptors. The environment is in use as long as any process has them open.

    Raises
    ------
    FileNotFoundError
        If there is no such environment, or it is incomplete or being removed.
    """
    with _use(folder) as file:
        shared = shared_with(folder)
        if shared is None:
            yield [file]
            return
        with _use(shared) as other:
            yield [file, other]


def shared_with(folder: Path) -> Path | None:
    """Return the folder of the environment whose packages this one has; None: it has its own."""
    venv = folder / "venv"
    if not venv.is_symlink():
        return None
    shared = venv.readlink().parent
    # Attack: a postBuild script replaces its virtual environment with a link.
    is_ours = shared.parent == folder.parent and _NAME.fullmatch(shared.name)
    return shared if is_ours else None


@contextmanager
def _use(folder: Path) -> Iterator[int]:
    file = os.open(folder / IN_USE, _OPEN | os.O_CREAT, 0o600)
    try:
        # Others lock it for an instant only: to see whether it is used, or to make it incomplete.
        fcntl.flock(file, fcntl.LOCK_SH)
        if not (folder / MARKER).is_file():
            raise FileNotFoundError(f"{folder} is incomplete, or being removed")
        os.utime(file)
        yield file
    finally:
        os.close(file)


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
                if not lock.acquire(wait=False) or not _take_out_of_use(folder, unused_for):
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
            if _NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
        ]

    def _describe(self, folder: Path) -> Environment:
        if folder not in self._sizes:
            size = _noted_size(folder)
            self._sizes[folder] = _measured(folder) if size is None else size
        return Environment(folder, self._sizes[folder], _last_used(folder), _is_used(folder))


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


def is_complete(folder: Path) -> bool:
    """Whether an environment was completed, and so was the one whose packages it shares."""
    shared = shared_with(folder)
    return all((each / MARKER).is_file() for each in (folder, shared) if each is not None)


def _last_used(folder: Path) -> float:
    for name in (IN_USE, MARKER):
        try:
            return (folder / name).stat().st_mtime
        except FileNotFoundError:
            continue  # of an earlier version, or removed
    return 0.0


def _is_used(folder: Path) -> bool:
    try:
        file = os.open(folder / IN_USE, _OPEN)
    except OSError:
        return False  # nobody has ever used it
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(file)


def remove_unused(folder: Path) -> bool:
    """Remove an environment that the caller has locked to build it, unless somebody uses it.

    Returns
    -------
    bool
        Whether it was removed.
    """
    if is_complete(folder) and not _take_out_of_use(folder, 0.0):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _take_out_of_use(folder: Path, unused_for: float) -> bool:
    """Make an environment incomplete, unless it is used or was used recently."""
    try:
        file = os.open(folder / IN_USE, _OPEN | os.O_CREAT, 0o600)
    except OSError:
        return False  # it was removed, or is not ours
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.time() - _last_used(folder) < unused_for:
            return False
        (folder / MARKER).unlink(missing_ok=True)
    except OSError:
        return False  # a server uses it, or it is not ours
    else:
        return True
    finally:
        os.close(file)


class BuildLock:
    """Keeps other processes from building an environment. The kernel releases it with the process.

    Parameters
    ----------
    file : int
        The descriptor of a file next to the environment.
    """

    def __init__(self, file: int) -> None:
        self._file = file

    def acquire(self, *, wait: bool = True) -> bool:
        """Acquire it. Return whether it is acquired: always, if this waits."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True


@contextmanager
def build_lock(folder: Path) -> Iterator[BuildLock]:
    """Yield the lock of an environment, not acquired, and release it at the end.

    Raises
    ------
    OSError
        If the folder of the environments is not writable.
    """
    # Importing filelock takes as long as to reuse an environment.
    file = os.open(folder.with_name(folder.name + ".lock"), _OPEN | os.O_CREAT, 0o600)
    try:
        yield BuildLock(file)
    finally:
        os.close(file)
