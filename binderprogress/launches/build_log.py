"""The full log of a build, on the disk."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from io import RawIOBase
from pathlib import Path
from typing import Any

from ..channels.base import Meter
from .log_lines import TextFile
from .log_times import encoded_mark, times_path

__all__ = ["CHUNK", "NOTE", "BuildLog", "note_of", "read_log"]

CHUNK = 256 * 1024
"""Bytes that are read at once; all that a reader of a log takes in memory."""

NOTE = ".newest"
"""The end of the names of files that say which log is the newest of an environment."""

_BUFFER = 64 * 1024

_BETWEEN = 1.0
"""Seconds between two lines of which it is noted when they were written."""


class BuildLog:
    """A file that is only appended to.

    A full disk, or any other error of the file, ends the log and never the build.

    Parameters
    ----------
    path : Path
        The file. It is created with the first bytes, and open only while the build runs.
    limit : int
        Bytes after which the log is cut.
    meter : Meter
        Counts the bytes of all logs.
    log : logging.Logger
        The operator's.
    finished : callable, optional
        Called with the key of `finish` when the file is complete.
    clock : callable
        Returns seconds since 1970.
    """

    def __init__(
        self,
        path: Path,
        *,
        limit: int,
        meter: Meter,
        log: logging.Logger | logging.LoggerAdapter[Any],
        finished: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.size = 0
        """Bytes so far, including those that are not written yet."""
        self.is_cut = False
        """Whether nothing more is taken."""
        self.is_released = False
        """Whether it was released or deleted."""
        self._is_finished = False
        self._path = path
        self._limit = limit
        self._meter = meter
        self._log = log
        self._file = -1
        self._finished = finished
        self._clock = clock
        self._has_times = True
        self._marks = bytearray()
        """What is not written yet of when lines were written."""
        self._marked = (-1, 0.0)
        """The last position of which that was noted, and the time."""
        self._buffer = bytearray()
        self._problem = b""

    def restore(self, messages: Sequence[str] = (), *, end: str = "") -> None:
        """Go on with the file of an earlier server.

        Parameters
        ----------
        messages : sequence of str
            What viewers have seen of a build that has not ended. A server that was killed may not
            have written all of it to the file.
        end : str
            What `finish` has written, if the earlier server called it.
        """
        last = _encoded(end)
        try:
            size = self._path.stat().st_size
            self._is_finished = bool(end) and _ends_with(self._path, last)
        except OSError:
            size = 0
        if self._is_finished:
            size -= len(last)
        text = "".join(messages)
        if size < len(_encoded(text)):
            self._is_finished = False
            self._unlink()
            self._add(text)
            self.flush()
            return
        self.size = size
        self._meter.used += size

    def write(self, text: str) -> None:
        """Append text, usually whole lines, unless the log was cut."""
        if self.is_cut:
            return
        now = self._clock()
        if now - self._marked[1] >= _BETWEEN:
            self.mark(self.size, now)
        self._add(text)
        if self.size >= self._limit:
            self._end("[The log is cut here: it is longer than this server keeps.]\n")

    def mark(self, position: int, seconds: float) -> None:
        """Note when a line was written, as of the first line of a step.

        Parameters
        ----------
        position : int
            The bytes of the log before the line: not fewer than of the last one that was noted.
        seconds : float
            Since 1970.
        """
        if self.is_cut:
            return
        mark = encoded_mark(position, seconds)
        if position == self._marked[0] and self._marks:
            del self._marks[-len(mark) :]
        self._marks += mark
        self._marked = position, seconds

    def cut(self) -> None:
        """Take nothing more, because disk space is short."""
        if not self.is_cut:
            self._end("[The log is cut here: this server has no room for more of it.]\n")

    def finish(self, end: str, *, key: str = "") -> None:
        """Close the file with the build's last words, for those who read it later.

        `read` leaves them out: a launch has them as an event.

        Parameters
        ----------
        end : str
        key : str
            Of the environment that the build has made, for launches that use it later.
        """
        self.close()
        if self._is_finished or self._problem:
            return
        self._is_finished = True
        try:
            self._append(_encoded(end))
            if key:
                note_of(self._path.parent, key).write_text(self._path.stem)
        except OSError as error:
            self._log.error("The end of a build's log cannot be written: %s", error)
        self._close_file()
        if self._finished is not None:
            self._finished(key)

    def close(self) -> None:
        """Write the rest, and close the file. It can still be read.

        A server keeps the logs of many finished builds, and may open few files.
        """
        self.flush()
        self.is_cut = True
        self._close_file()

    def flush(self) -> None:
        """Write the buffer."""
        if not self._buffer:
            return
        data = bytes(self._buffer)
        self._buffer.clear()
        written = self.size - len(data)
        try:
            self._append(data)
        except OSError as error:
            self._fail(error, written)
        else:
            self._append_marks()

    def read(self, until: int | None = None) -> Iterator[bytes]:
        """Return the log so far in chunks, or its first `until` bytes.

        Its extent is fixed now. The chunks can be read later, and in another thread.
        """
        text, problem = self.text(until)
        return self._chunks(text.size, problem)

    def text(self, until: int | None = None) -> tuple[TextFile, bytes]:
        """Return what `read` returns: the part of the file, and what follows it."""
        self.flush()
        end = self.size if until is None else min(until, self.size)
        return TextFile(self._path, end), self._problem if end == self.size else b""

    @property
    def problem(self) -> bytes:
        """Why not all of it is on disk. Empty: all of it is."""
        return self._problem

    def read_all(self) -> Iterator[bytes]:
        """Return the log so far in chunks, with its end if it is finished."""
        if not self._is_finished:
            return self.read()
        return read_log(self._path)

    def all_text(self) -> tuple[TextFile, bytes]:
        """Return what `read_all` returns: the file, and what follows it."""
        if not self._is_finished:
            return self.text()
        return TextFile(self._path, self._path.stat().st_size), b""

    def release(self) -> None:
        """Leave the file to `log_files.LogFiles`, which removes it later."""
        self.is_released = True
        self.close()
        self._meter.used -= self.size
        self.size = 0

    def delete(self) -> None:
        """Remove the file."""
        self.is_released = True
        self._buffer.clear()
        self._marks.clear()
        self.is_cut = True
        self._close_file()
        self._meter.used -= self.size
        self.size = 0
        try:
            self._unlink()
        except OSError as error:
            self._log.error("The log of a forgotten build cannot be removed: %s", error)

    def _add(self, text: str) -> None:
        data = _encoded(text)
        self._buffer += data
        self.size += len(data)
        self._meter.used += len(data)
        if len(self._buffer) >= _BUFFER:
            self.flush()

    def _append_marks(self) -> None:
        """Write when lines were written. The log matters more: it goes on without."""
        marks, self._marks = self._marks, bytearray()
        if not marks or not self._has_times:
            return
        try:
            with times_path(self._path).open("ab") as file:
                file.write(marks)
        except OSError as error:
            # Part of a pair may have been written, which nothing may follow.
            self._has_times = False
            self._log.error("The times of a build's log end early: %s", error)

    def _unlink(self) -> None:
        self._path.unlink(missing_ok=True)
        times_path(self._path).unlink(missing_ok=True)

    def _append(self, data: bytes) -> None:
        """Write to the file.

        Raises
        ------
        OSError
            If not all of it could be written.
        """
        if self._file < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def _end(self, why: str) -> None:
        self._add(why)
        self.flush()
        self.is_cut = True

    def _fail(self, error: OSError, written: int) -> None:
        """End the log at the last byte on disk, and report it once."""
        self.is_cut = True
        self._meter.used -= self.size - written
        self.size = written
        why = error.strerror or str(error)
        self._problem = f"[The log ends here: it could not be written ({why}).]\n".encode()
        self._log.error("The full log of a build ends early: %s", error)
        if self._file >= 0:
            try:
                # Part of the buffer may have been written, up to the middle of a character.
                os.ftruncate(self._file, written)
            except OSError as also:
                self._log.error("The last part of the log cannot be removed: %s", also)

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _chunks(self, end: int, problem: bytes) -> Iterator[bytes]:
        if end:
            try:
                with self._path.open("rb", buffering=0) as file:
                    yield from _pieces(file, end)
            except FileNotFoundError:
                # Its launches were forgotten meanwhile.
                return
        if problem:
            yield problem


def note_of(folder: Path, key: str) -> Path:
    """Return the file that has the id of the newest build of an environment."""
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}{NOTE}"


def read_log(path: Path) -> Iterator[bytes]:
    """Return a log in chunks.

    Raises
    ------
    FileNotFoundError
        If it was removed, also while it is read. Attack: clients that read slowly keep removed
        logs on the disk.
    """
    with path.open("rb", buffering=0) as file:
        for data in _pieces(file, os.fstat(file.fileno()).st_size):
            yield data
            if not os.fstat(file.fileno()).st_nlink:
                raise FileNotFoundError(path)


def _pieces(file: RawIOBase, size: int) -> Iterator[bytes]:
    while size > 0 and (data := file.read(min(CHUNK, size))):
        size -= len(data)
        yield data


def _ends_with(path: Path, data: bytes) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) < len(data):
            return False
        file.seek(-len(data), os.SEEK_END)
        return file.read() == data


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")
