"""Where the lines of a long log are, so that a part of it can be read without the rest."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from .terminal import Terminal

__all__ = ["Blocks", "LineIndex"]

_BLOCK = 64 * 1024
"""Bytes of a block, at least."""


class Blocks(NamedTuple):
    """The parts of a log whose lines depend on nothing before or after them.

    Attributes
    ----------
    lines : list of int
        The number of the first line of each block, counted from 0.
    starts : list of int
        The position of its first byte.
    size : int
        The bytes of the log.
    """

    lines: list[int]
    starts: list[int]
    size: int

    def bytes_of(self, number: int) -> range:
        """Return the positions of the bytes of a block."""
        is_last = number == len(self.starts) - 1
        return range(self.starts[number], self.size if is_last else self.starts[number + 1])

    def until(self, size: int) -> Blocks:
        """Return the blocks of the beginning of the log."""
        count = max(bisect_right(self.starts, size), 1)
        return Blocks(self.lines[:count], self.starts[:count], min(size, self.size))


class LineIndex:
    """Splits a log into blocks: at places where the cursor of a terminal was at the end.

    If the cursor moves above such a place later, it is none any more.
    """

    def __init__(self) -> None:
        self.size = 0
        """Bytes so far."""
        self._lines = [0]
        self._starts = [0]
        self._terminal = Terminal(keeps=False)

    @property
    def end(self) -> int:
        """The number of lines so far."""
        return self._terminal.end

    @property
    def blocks(self) -> Blocks:
        """The blocks so far, at least one. The last one may become longer."""
        return Blocks(self._lines.copy(), self._starts.copy(), self.size)

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the log."""
        # At the end of a line the cursor is most likely at the end of the log.
        end = data.rfind(b"\n") + 1
        for piece in (data[:end], data[end:]):
            if piece:
                self._feed(piece)

    def _feed(self, data: bytes) -> None:
        terminal = self._terminal
        terminal.lowest = terminal.end
        terminal.feed(data)
        self.size += len(data)
        while self._lines[-1] > terminal.lowest:
            self._lines.pop()
            self._starts.pop()
        if terminal.is_clean and self.size - self._starts[-1] >= _BLOCK:
            self._lines.append(terminal.end)
            self._starts.append(self.size)
