"""Temporary folders that are removed, if need be by a later process.

Next to each folder is a file that its owner has locked. The kernel releases the lock when the owner
ends, however it ends. So a folder whose lock is free has no owner any more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["OwnedFolder", "stale_folders"]

PREFIX = "binderprogress-"
_LOCK = ".lock"


class OwnedFolder(tempfile.TemporaryDirectory[str]):
    """A temporary folder of this process, with mode 0700. It is a context manager.

    Parameters
    ----------
    kind : str
        A part of its name.

    Raises
    ------
    OSError
        If it cannot be created.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(prefix=f"{PREFIX}{kind}-", ignore_cleanup_errors=True)
        folder = Path(self.name)
        try:
            lock = _lock_new(folder)
        except BaseException:
            super().cleanup()
            raise
        # Also if nobody cleans up, as the base class does with the folder.
        self._unlock = weakref.finalize(self, _unlock, _lock_of(folder), lock)

    def cleanup(self) -> None:
        """Remove it."""
        try:
            super().cleanup()
        finally:
            self._unlock()


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + _LOCK)


def _unlock(path: Path, lock: int) -> None:
    with suppress(OSError):
        path.unlink()
    os.close(lock)


def _lock_new(folder: Path) -> int:
    # It gets its name when it is locked. Before, another process could take it for stale.
    file, name = tempfile.mkstemp(dir=folder.parent)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        Path(name).rename(_lock_of(folder))
    except BaseException:
        os.close(file)
        Path(name).unlink(missing_ok=True)
        raise
    return file


@contextmanager
def stale_folders() -> Iterator[list[Path]]:
    """Yield the folders whose owners have ended. They belong to this process in the context.

    At its end, folders and locks are removed.

    Raises
    ------
    OSError
        If the folder for temporary files cannot be read.
    """
    held: dict[Path, int] = {}
    try:
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*{_LOCK}"):
            if (file := _take(path)) is not None:
                held[path] = file
        yield [path.with_name(path.name.removesuffix(_LOCK)) for path in held]
    finally:
        for path, file in held.items():
            _remove(path.with_name(path.name.removesuffix(_LOCK)))
            with suppress(OSError):
                path.unlink()
            os.close(file)


def _take(path: Path) -> int | None:
    """Lock the file of a folder without an owner; None if it has one, or is not ours."""
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None  # it was removed, or is a link or a file of another user
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Not removed, and perhaps created again, since it was opened.
        if os.fstat(file).st_uid == os.getuid() and os.path.samestat(os.fstat(file), path.lstat()):
            return file
    except OSError:
        pass  # its owner runs, or has just removed it
    os.close(file)
    return None


def _remove(folder: Path) -> None:
    """Remove a folder of this user."""
    # Attack: another user makes a folder, or a link, with the name of one that was removed.
    with suppress(FileNotFoundError):
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)
