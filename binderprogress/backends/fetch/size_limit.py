"""Ends what fills a folder once there is too much in it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from .safe_files import Limits, TooLargeError

__all__ = ["watched"]

_INTERVAL = 0.5
"""Seconds between two looks; longer where a look takes long."""


@contextmanager
def watched(folder: Path, limits: Limits) -> Iterator[None]:
    """Hold a folder to limits while programs that this process started write into it.

    A program such as git cannot be told how much it may write, so this looks at the folder twice a
    second and ends our child processes when there is too much. Until it looks again, more may be
    written; at the end it looks once more.

    Raises
    ------
    TooLargeError
        On leaving, in place of the error that a program that was ended has caused.
    """
    watch = _Watch(folder, limits)
    watch.start()
    try:
        yield
    finally:
        watch.end()
        # In place of an error of git's: it failed because it was ended.
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
                # git clones submodules one after the other: each that follows is ended, too.
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
                    continue  # git has renamed or removed it meanwhile
            self._limits.check(files, size)


def _end_children() -> None:
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue  # it has ended: what was wanted
