"""When the lines of a log were written, in a file beside the log.

The file has pairs of a position in the log and a time, once a second and at the first line of each
step. Lines in between were written in between.
"""

from __future__ import annotations

import struct
from pathlib import Path

import msgspec

__all__ = ["TIMES", "LineTimes", "Mark", "encoded_mark", "read_marks", "times_path"]

TIMES = ".times"
"""The end of the names of these files."""

_MARK = struct.Struct("<Qd")

Mark = tuple[int, float]
"""A position in bytes, or a number of lines, and a time in seconds since 1970."""


class LineTimes(msgspec.Struct, frozen=True):
    """When lines of a log were written.

    Attributes
    ----------
    lines : list of int
        The numbers of lines, counted from 1, in ascending order.
    times : list of float
        When each of them was written, in seconds since 1970.
    total : int
        How many lines the log has so far.
    """

    lines: list[int]
    times: list[float]
    total: int


def times_path(log: Path) -> Path:
    """Return the file with the times of a log."""
    return log.with_suffix(TIMES)


def encoded_mark(position: int, seconds: float) -> bytes:
    """Return what the file has of a line."""
    return _MARK.pack(position, seconds)


def read_marks(log: Path, known: int) -> list[Mark]:
    """Return what the file of a log has, after the first `known` pairs. Call this in a thread.

    Logs of earlier versions have no such file.
    """
    try:
        with times_path(log).open("rb") as file:
            file.seek(known * _MARK.size)
            data = file.read()
    except FileNotFoundError:
        return []
    # Another process may be writing the last one.
    return list(_MARK.iter_unpack(data[: len(data) // _MARK.size * _MARK.size]))
