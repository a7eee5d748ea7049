"""Reads lines of a log by their numbers, and finds text in it, without reading all of it.

Lines are those that a terminal shows in the end (`core.log.terminal`), counted from 1 as in the
browser. All of this may wait for the disk: call it in a thread.
"""

from __future__ import annotations

import os
import re
import threading
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, Protocol

import msgspec

from ..core.log.line_index import Blocks, LineIndex
from ..core.log.search import LogSearch
from ..core.log.terminal import MAX_UP, Terminal
from ..core.log.text_kind import TextKind
from .log_times import LineTimes, Mark, read_marks

__all__ = [
    "MAX_HITS",
    "MAX_LINES",
    "MAX_TIMES",
    "Found",
    "LogLines",
    "LogPart",
    "MemoryText",
    "SharedIndex",
    "Text",
    "TextFile",
]

MAX_LINES = 2000
"""The maximum number of lines of a part."""

MAX_TIMES = 20_000
"""The maximum number of lines of which it is said when they were written."""

MAX_HITS = 5000
"""The maximum number of lines that a search returns at once."""

_MAX_SIZE = 2**20
"""Bytes of a part after which it ends."""

_MAX_LINE = 40_001
"""Characters of a line. More are not shown anyway, see `js/src/log/plain-text.ts`."""

_SECONDS = 0.5
"""For which a search goes on, before others have their turn."""

_PIECE = 64 * 1024

_UNUSUAL = [
    re.compile(start) for start in (rb"\r", rb"\x08", rb"\x1b\[\d*[A-GJK]", rb"\xc2\x9b\d*[A-GJK]")
]
"""What makes a line more than the text up to its line feed. Not one pattern, see `terminal`."""


class Text(Protocol):
    """The bytes of a log, which only grows."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def read(self, start: int, end: int) -> bytes:
        """Return some of them.

        Raises
        ------
        OSError
            If they cannot be read.
        """
        ...

    def marks(self, known: int) -> list[Mark]:
        """Return positions and when they were written, after the first `known` of them.

        Raises
        ------
        OSError
            If they cannot be read.
        """
        ...


class TextFile(msgspec.Struct, frozen=True):
    """The beginning of a file.

    Attributes
    ----------
    path : Path
    size : int
        Bytes. The file may have more.
    """

    path: Path
    size: int

    def read(self, start: int, end: int) -> bytes:
        """Return some of its bytes."""
        with self.path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), end - start, start)

    def marks(self, known: int) -> list[Mark]:
        """Return positions and times, from the file beside it."""
        return read_marks(self.path, known)


class MemoryText(msgspec.Struct):
    """Bytes in memory."""

    data: bytearray = msgspec.field(default_factory=bytearray)
    marked: list[Mark] = msgspec.field(default_factory=list)

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.data)

    def read(self, start: int, end: int) -> bytes:
        """Return some of them."""
        return bytes(self.data[start:end])

    def marks(self, known: int) -> list[Mark]:
        """Return positions and times."""
        return self.marked[known:]


class SharedIndex:
    """The index of a text that grows. Threads extend it one after the other."""

    def __init__(self) -> None:
        self._index = LineIndex()
        self._lock = threading.Lock()
        self._marks: list[Mark] = []
        """Positions in the text that were not reached yet, and times, from the end."""
        self._known = 0
        self._times: list[Mark] = []
        """Lines and times."""

    def blocks(self, text: Text) -> Blocks:
        """Return the blocks of a text, of which it may have seen the beginning before."""
        with self._lock:
            index = self._index
            if index.size < text.size:
                marks = text.marks(self._known)
                self._known += len(marks)
                self._marks = [*reversed(marks), *self._marks]
            while index.size < text.size:
                self._take_times()
                end = min(index.size + _PIECE, text.size)
                if self._marks:
                    end = min(end, self._marks[-1][0])
                data = text.read(index.size, end)
                if not data:
                    # It was cut meanwhile, because the disk is full.
                    break
                if index.size + len(data) < text.size:
                    # Whole lines are read faster.
                    data = data[: data.rfind(b"\n") + 1] or data
                index.feed(data)
            # The index may know more, as of a launch that left its build before the end.
            return index.blocks.until(text.size)

    def times(self) -> list[Mark]:
        """Return numbers of lines, counted from 0, and when they were written."""
        with self._lock:
            return self._times.copy()

    def _take_times(self) -> None:
        """Note which line the next one is, if it is known when that was written."""
        line, times = self._index.end, self._times
        while self._marks and self._marks[-1][0] <= self._index.size:
            # A program may have gone back to this line.
            while times and times[-1][0] >= line:
                times.pop()
            times.append((line, self._marks.pop()[1]))


class LogPart(msgspec.Struct, frozen=True):
    """Some lines of a log.

    Attributes
    ----------
    first : int
        The number of the first of them, counted from 1.
    lines : list of str
        With escape sequences of colours and links. Lines of more than 40,000 characters are cut.
    total : int
        How many lines the log has so far.
    settled : int
        How many of them cannot change any more: programs overwrite the last lines.
    """

    first: int
    lines: list[str]
    total: int
    settled: int


class Found(msgspec.Struct, frozen=True):
    """What a search has found.

    Attributes
    ----------
    hits : list of (int, int)
        The numbers of lines, counted from 1, and how many matches each has: at most 500.
    next : int
        The line from which to search on. Beyond `total` if all was searched.
    total : int
        How many lines the log has so far.
    """

    # Not `tuple[int, int]`: tools that read the OpenAPI document do not know its `prefixItems`.
    hits: list[Annotated[tuple[int, ...], msgspec.Meta(min_length=2, max_length=2)]]
    next: int
    total: int


class LogLines:
    """The lines of a log as it is now.

    Parameters
    ----------
    text : Text
    index : SharedIndex
        Of the text.
    before, after : bytes
        What comes before and after the text.
    is_over : bool
        Whether nothing more comes.
    """

    def __init__(
        self,
        text: Text,
        index: SharedIndex,
        *,
        before: bytes = b"",
        after: bytes = b"",
        is_over: bool = False,
    ) -> None:
        self._text = text
        self._before, self._after = before, after
        self._index = index
        self._blocks = index.blocks(text)
        self._head = _count([before])
        """How many lines come before the text."""
        # What comes after the last block may overwrite its lines.
        last = len(self._blocks.lines) - 1
        self._total = self._head + self._blocks.lines[last] + _count(self._pieces(last))
        self._settled = self._total if is_over else max(self._total - MAX_UP, 0)

    def part(self, first: int, count: int) -> LogPart:
        """Return lines.

        Parameters
        ----------
        first : int
            The number of the first line, counted from 1. A negative number counts from the end:
            -10 is the tenth line from the end. 0: no line.
        count : int
            How many lines. There are fewer at the end of the log, and if they are long.
        """
        start = min(first - 1 if first > 0 else max(self._total + first, 0), self._total)
        lines: list[str] = []
        size = 0
        for line, some in self._lines_from(start):
            for one in some[max(start - line, 0) :]:
                if len(lines) == min(count, MAX_LINES) or size >= _MAX_SIZE:
                    return LogPart(start + 1, lines, self._total, self._settled)
                lines.append(one.decode("utf-8", "replace")[:_MAX_LINE])
                size += min(len(one), _MAX_LINE)
        return LogPart(start + 1, lines, self._total, self._settled)

    def times(self, most: int = MAX_TIMES) -> LineTimes:
        """Return when lines were written: of at most so many of them."""
        times = [mark for mark in self._index.times() if self._head + mark[0] < self._total]
        some = times[:: -(-len(times) // most) or 1]
        return LineTimes(
            [self._head + line + 1 for line, _ in some],
            [round(seconds, 3) for _, seconds in some],
            self._total,
        )

    def find(self, text: str, first: int, *, seconds: float = _SECONDS) -> Found:
        """Find lines with a text, until some time has passed or there are many.

        Parameters
        ----------
        text : str
            In upper or lower case. At least one character, and no line feed.
        first : int
            The number of the line from which to search, counted from 1.
        seconds : float
            For which it searches.
        """
        search = LogSearch(text)
        until = time.monotonic() + seconds
        start = max(first - 1, 0)
        hits: list[tuple[int, ...]] = []
        for line, some, kind in self._text_from(start):
            # At least one piece, or it would not get on.
            if line > start and (len(hits) >= MAX_HITS or time.monotonic() > until):
                return Found(hits, line + 1, self._total)
            hits += [
                (line + number + 1, count)
                for number, count in search.find(some, kind)
                if line + number >= start
            ]
        return Found(hits, self._total + 1, self._total)

    def _text_from(self, start: int) -> Iterator[tuple[int, bytes, TextKind]]:
        """Yield lines as one text with line feeds, and the number of the first, from 0."""
        if start < self._head:
            yield 0, b"\n".join(_all([self._before])), TextKind.OTHER
        for number in range(self._block_at(start), len(self._blocks.lines)):
            line, block = self._head + self._blocks.lines[number], self._blocks.bytes_of(number)
            if number < len(self._blocks.lines) - 1 and len(block) <= _MAX_SIZE:
                data = self._text.read(block.start, block.stop)
                kind = self._blocks.kinds[number]
                # Most blocks have nothing that a terminal overwrites.
                if kind is not TextKind.OTHER or not _is_unusual(data):
                    yield line, data, kind
                    continue
            for some in _rendered(self._pieces(number)):
                yield line, b"\n".join(some), TextKind.OTHER
                line += len(some)

    def _lines_from(self, start: int) -> Iterator[tuple[int, list[bytes]]]:
        """Yield lines, and the number of the first of them, counted from 0."""
        if start < self._head:
            yield 0, _all([self._before])
        for number in range(self._block_at(start), len(self._blocks.lines)):
            line = self._head + self._blocks.lines[number]
            for some in _rendered(self._pieces(number)):
                yield line, some
                line += len(some)

    def _block_at(self, line: int) -> int:
        return max(bisect_right(self._blocks.lines, line - self._head) - 1, 0)

    def _pieces(self, number: int) -> Iterator[bytes]:
        """Yield the bytes of a block; after the last, also what comes after the text."""
        positions = self._blocks.bytes_of(number)
        for start in range(positions.start, positions.stop, _PIECE):
            yield self._text.read(start, min(start + _PIECE, positions.stop))
        if number == len(self._blocks.lines) - 1:
            yield self._after


def _is_unusual(data: bytes) -> bool:
    """Whether lines of a text are more than what is before their line feeds."""
    return any(pattern.search(data) for pattern in _UNUSUAL)


def _rendered(pieces: Iterable[bytes]) -> Iterator[list[bytes]]:
    terminal = Terminal()
    for piece in pieces:
        if some := terminal.feed(piece):
            yield some
    if some := terminal.finish():
        yield some


def _all(pieces: Iterable[bytes]) -> list[bytes]:
    return [*chain.from_iterable(_rendered(pieces))]


def _count(pieces: Iterable[bytes]) -> int:
    terminal = Terminal(keeps=False)
    for piece in pieces:
        terminal.feed(piece)
    terminal.finish()
    return terminal.end
