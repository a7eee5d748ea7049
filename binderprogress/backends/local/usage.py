"""Who uses an environment, and who builds it.

Each environment has a file that whoever uses it has locked: a Jupyter server as long as it runs.
The kernel releases the lock when it ends. The time of the file is when the environment was last
used. Another lock, next to the folder, is held by the process that builds it.

That process imports this module, so it imports little.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .marker import IN_USE, MARKER

__all__ = [
    "NAME",
    "BuildLock",
    "build_lock",
    "is_complete",
    "is_used",
    "last_used",
    "remove_unused",
    "shared_with",
    "take_out_of_use",
    "use",
]

NAME = re.compile(r"[a-z0-9-]*-[0-9a-f]{32}")
"""Names of environments. Attack, or a mistake: their folder has other folders, too."""

_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


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
    is_ours = shared.parent == folder.parent and NAME.fullmatch(shared.name)
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


def is_complete(folder: Path) -> bool:
    """Whether an environment was completed, and so was the one whose packages it shares."""
    shared = shared_with(folder)
    return all((each / MARKER).is_file() for each in (folder, shared) if each is not None)


def last_used(folder: Path) -> float:
    """Return when an environment was last used, in seconds since 1970; 0: it is being removed."""
    for name in (IN_USE, MARKER):
        try:
            return (folder / name).stat().st_mtime
        except FileNotFoundError:
            continue  # of an earlier version, or removed
    return 0.0


def is_used(folder: Path) -> bool:
    """Whether a process uses an environment."""
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
    if is_complete(folder) and not take_out_of_use(folder, 0.0):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def take_out_of_use(folder: Path, unused_for: float) -> bool:
    """Make an environment incomplete, unless it is used or was used recently."""
    try:
        file = os.open(folder / IN_USE, _OPEN | os.O_CREAT, 0o600)
    except OSError:
        return False  # it was removed, or is not ours
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.time() - last_used(folder) < unused_for:
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
