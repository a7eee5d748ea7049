"""Limits of a repository or record, and of a folder that child processes write to."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

__all__ = ["Limits", "TooLargeError", "watched"]

_INTERVAL = 0.5
"""Minimum number of seconds between checks."""


class TooLargeError(ValueError):
    """A repository or record exceeds the limits."""


class Limits(NamedTuple):
    """Limits of one repository or record.

    Attributes
    ----------
    max_files : int
    max_bytes : int
        Total size of all files, after decompression.
    max_ratio : int
        Ratio of the size of an unpacked archive to the size of the archive.
    """

    max_files: int
    max_bytes: int
    max_ratio: int

    def check(self, files: int, size: int) -> None:
        """Raise `TooLargeError` if there are too many files, or bytes in them."""
        if files > self.max_files:
            raise TooLargeError(f"Too large for this server: more than {self.max_files} files.")
        if size > self.max_bytes:
            raise TooLargeError(f"Too large for this server: more than {self.max_bytes} bytes.")


@contextmanager
def watched(folder: Path, limits: Limits) -> Iterator[None]:
    """Enforce limits on a folder while child processes write to it.

    Programs such as git have no option for that. So the folder is checked twice a second and at the
    end, and child processes are ended if it is too large. Between checks, it may exceed the limits.

    Raises
    ------
    TooLargeError
        On leaving the context, instead of the error of a program that was ended.
    """
    watch = _Watch(folder, limits)
    watch.start()
    try:
        yield
    finally:
        watch.end()
        # Replaces the error of git, which failed because it was ended.
        watch.check()


class _Watch(threading.Thread):
    def __init__(self, folder: Path, limits: Limits) -> None:
        super().__init__(daemon=True)
        self._folder = folder
        self._limits = limits
        self._stopped = threading.Event()
        self._too_large: TooLargeError | None = None

    def run(self) -> None:
        pause = _INTERVAL
        while not self._stopped.wait(pause):
            started = time.monotonic()
            try:
                self._look()
            except TooLargeError as error:
                self._too_large = error
                # The thread continues, because git starts a process for each submodule.
                _end_children()
            pause = max(_INTERVAL, 4 * (time.monotonic() - started))

    def end(self) -> None:
        self._stopped.set()
        self.join()

    def check(self) -> None:
        if self._too_large is not None:
            raise self._too_large
        self._look()

    def _look(self) -> None:
        files = size = 0
        for parent, folders, names in os.walk(self._folder):
            files += len(names) + len(folders)
            for name in names:
                try:
                    size += Path(parent, name).lstat().st_size
                except FileNotFoundError:
                    continue  # git has renamed or removed it
            self._limits.check(files, size)


def _end_children() -> None:
    # Imported here, because it takes a tenth of the time that a small repository needs.
    import psutil

    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue  # it has already ended
