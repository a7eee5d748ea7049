"""Where the lines of a long log are, so that a part of it can be read without the rest."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from .terminal import Terminal
from .text_kind import TextKind, kind_of

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
    kinds : list of TextKind
        What each has beside its text.
    size : int
        The bytes of the log.
    """

    lines: list[int]
    starts: list[int]
    kinds: list[TextKind]
    size: int

    def bytes_of(self, number: int) -> range:
        """Return the positions of the bytes of a block."""
        is_last = number == len(self.starts) - 1
        return range(self.starts[number], self.size if is_last else self.starts[number + 1])

    def until(self, size: int) -> Blocks:
        """Return the blocks of the beginning of the log."""
        count = max(bisect_right(self.starts, size), 1)
        lines, starts, kinds = self.lines[:count], self.starts[:count], self.kinds[:count]
        return Blocks(lines, starts, kinds, min(size, self.size))


class LineIndex:
    """Splits a log into blocks: at places where the cursor of a terminal was at the end.

    If the cursor moves above such a place later, it is none any more.
    """

    def __init__(self) -> None:
        self.size = 0
        """Bytes so far."""
        self._lines = [0]
        self._starts = [0]
        self._kinds = [TextKind.PLAIN]
        self._terminal = Terminal(keeps=False)

    @property
    def end(self) -> int:
        """The number of lines so far."""
        return self._terminal.end

    @property
    def blocks(self) -> Blocks:
        """The blocks so far, at least one. The last one may become longer."""
        return Blocks(self._lines.copy(), self._starts.copy(), self._kinds.copy(), self.size)

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the log. This is fastest if they are whole lines."""
        # At the end of a line the cursor is most likely at the end of the log.
        end = data.rfind(b"\n") + 1
        for piece in (data[:end], data[end:]):
            if piece:
                self._feed(piece)

    def _feed(self, data: bytes) -> None:
        terminal, kind = self._terminal, kind_of(data)
        terminal.lowest = terminal.end
        terminal.feed(data, moves=kind is TextKind.OTHER)
        self.size += len(data)
        while self._lines[-1] > terminal.lowest:
            self._lines.pop()
            self._starts.pop()
            self._kinds.pop()
        # Only what is no plain text moves the cursor up: then, this is also the kind of all that.
        self._kinds[-1] = max(self._kinds[-1], kind)
        if terminal.is_clean and self.size - self._starts[-1] >= _BLOCK:
            self._lines.append(terminal.end)
            self._starts.append(self.size)
            self._kinds.append(TextKind.PLAIN)
