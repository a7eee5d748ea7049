"""The lines of a log as a terminal shows them in the end.

``js/src/log/lines.ts`` and ``js/src/log/terminal.ts`` do the same in the browser, so lines have the
same numbers there. ``tests/data/terminal.json`` has examples for both.
"""

from __future__ import annotations

import re

from ..printable import plain

__all__ = ["MAX_LINE", "MAX_UP", "Terminal", "final_state"]

MAX_UP = 500
"""How far the cursor moves up. Lines above that do not change, as above a terminal's screen."""

MAX_LINE = 2**20
"""Bytes that are kept of a line."""

_MAX_SCREEN = 4 * 2**20
"""Bytes of lines that can still change. Attack: 500 lines, all with the longest text."""

_CURSOR = rb"(?:\x1b\[|\xc2\x9b)(\d*)([ABEFJK])"

_MOVES = re.compile(rb"\r\n|\n|\r|" + _CURSOR)
"""The ends of lines, and the sequences that move the cursor between lines or erase them."""

_UNUSUAL = [
    re.compile(rb"\r(?!\n)"),
    re.compile(rb"\x1b\[\d*[ABEFJK]"),
    re.compile(rb"\xc2\x9b\d*[ABEFJK]"),
]
"""What makes a line more than the text up to its line feed.

Not one pattern: those that begin with the same bytes are found many times as fast.
"""

_COLUMNS = [re.compile(rb"\x08"), re.compile(rb"\x1b\[\d*[CDG]"), re.compile(rb"\xc2\x9b\d*[CDG]")]
"""What moves the cursor within its line."""

_BEGUN = re.compile(rb"(?:\r|\x1b(?:\[\d{0,20})?|\xc2(?:\x9b\d{0,20})?)\Z")
"""A move of which only the beginning has arrived."""

_COLOURED = re.compile(rb"(?:\x1b\[[\d;:]*m)+[ -~]")
"""The beginning of most lines that begin with an escape sequence."""

_MAX_STATE = 40_000
"""Longer lines stay as they are. Attack: each character takes a cell."""

_MAX_STYLE = 200
"""Characters of the colour sequences that apply to a cell."""

_IN_LINE = re.compile(r"\x08|(?:\x1b\[|\x9b)\d*[CDGK]")
"""Backspace, and sequences that move the cursor within its line or erase a part of it."""

_TOKENS = re.compile(
    r"\x08|(?:\x1b\[|\x9b)(?:(\d*)([CDGK])|([\d;:]*)m|[0-?]*[ -/]*[@-~]?)"
    r"|\x1b\][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?|.",
    re.DOTALL,
)
"""A move with its count, a colour sequence, another control, or a character."""

_RESET = re.compile(r"0*")


class Terminal:
    """Takes a log in pieces, and gives its lines back.

    The cursor moves as in a terminal, but text replaces the line that it is written to, up to its
    end. Memory is bounded: a line is cut after one mebibyte, and lines far above the cursor do not
    change any more.

    Parameters
    ----------
    keeps : bool
        Whether to keep the text of lines. Without it, lines are only counted.
    """

    def __init__(self, *, keeps: bool = True) -> None:
        self.end = 0
        """The number of lines."""
        self.lowest = 0
        """The lowest number of a line that was written or erased since this was last set."""
        self._keeps = keeps
        self._lines: list[bytes] = []
        """The last lines, which may still change."""
        self._size = 0
        self._at = 0
        """The line that the cursor is at."""
        self._text = b""
        """What was written of the line at the cursor."""
        self._erased = False
        self._begun = b""

    @property
    def is_clean(self) -> bool:
        """Whether the cursor is at the beginning of a new line at the end."""
        return self._at == self.end and not (self._text or self._begun or self._erased)

    def feed(self, data: bytes, *, moves: bool = True) -> list[bytes]:
        """Take a piece of a log. Return the next lines that cannot change any more.

        Parameters
        ----------
        data : bytes
            UTF-8.
        moves : bool
            Whether it may have anything but text, line feeds and colours.
        """
        if self._begun:
            data, self._begun, moves = self._begun + data, b"", True
        if begun := _BEGUN.search(data, max(len(data) - 24, 0)):
            data, self._begun = data[: begun.start()], begun[0]
        done = 0
        for at in _places(data) if moves else ():
            if at < done:
                continue
            start = data.rfind(b"\n", done, at) + 1
            self._write_lines(data[done:start])
            end = data.find(b"\n", at) + 1 or len(data)
            done = max(start, done)
            self._write(data[done:end])
            done = end
        start = data.rfind(b"\n", done) + 1
        if start > done:
            self._write_lines(data[done:start])
            done = start
        self._write(data[done:])
        return self._settled()

    def finish(self) -> list[bytes]:
        """Return all remaining lines: nothing follows."""
        self._text += self._begun.rstrip(b"\r")
        self._begun = b""
        self._put()
        lines, self._lines = self._lines, []
        return lines

    def _write_lines(self, data: bytes) -> None:
        """Write complete lines without moves."""
        while data and not self.is_clean:
            end = data.find(b"\n") + 1
            self._write(data[:end])
            data = data[end:]
        if not data:
            return
        count = data.count(b"\n")
        if self._keeps:
            lines = data.split(b"\n")
            lines.pop()
            if b"\r" in data:
                lines = [line.removesuffix(b"\r") for line in lines]
            if len(data) > MAX_LINE or any(moves.search(data) for moves in _COLUMNS):
                lines = [_shown(line) for line in lines]
            self._lines += lines
            self._size += len(data)
        self.end += count
        self._at = self.end

    def _write(self, data: bytes) -> None:
        start = 0
        for move in _MOVES.finditer(data):
            self._add(data[start : move.start()])
            start = move.end()
            count, kind = move[1], move[2]
            if kind is None:
                self._end_line(is_over=move[0] != b"\r")
            elif kind == b"K":
                # Text after this replaces the line anyway.
                if count in {b"1", b"2"}:
                    self._text = b""
                self._erased = True
            elif kind == b"J":
                # Only what is below the cursor: a log must not lose what was above.
                if not count.strip(b"0"):
                    self._erase(self._at + 1 if self._put() else self._at)
            else:
                self._put()
                # A longer number is no count.
                lines = max(int(count[:9] or b"0"), 1)
                self._move_to(self._at + (-lines if kind in b"AF" else lines))
        self._add(data[start:])

    def _add(self, text: bytes) -> None:
        if len(self._text) < MAX_LINE:
            self._text += text[: MAX_LINE - len(self._text)]

    def _end_line(self, *, is_over: bool) -> None:
        if self._put():
            self._at += is_over
        elif is_over:
            if self._at >= self.end:
                self._set(b"")
            self._at += 1

    def _put(self) -> bool:
        """Write the text to the line at the cursor. Without text, it changes only if erased."""
        text, erased = self._text, self._erased
        self._text, self._erased = b"", False
        done = erased or _has_text(text)
        if done:
            self._set(_shown(text) if self._keeps else b"")
        return done

    def _set(self, line: bytes) -> None:
        self._move_to(self._at)
        self.lowest = min(self.lowest, self._at)
        if self._at == self.end:
            self.end += 1
            if self._keeps:
                self._lines.append(line)
        elif self._keeps:
            index = self._at - self._first
            self._size -= len(self._lines[index])
            self._lines[index] = line
        self._size += len(line) if self._keeps else 0

    def _erase(self, start: int) -> None:
        """Remove lines from a number on."""
        start = max(start, self.end - MAX_UP, self._first)
        if start >= self.end:
            return
        self.lowest = min(self.lowest, start)
        if self._keeps:
            del self._lines[start - self._first :]
        self.end = start

    def _move_to(self, line: int) -> None:
        self._at = min(max(line, self.end - MAX_UP, self._first), self.end)

    @property
    def _first(self) -> int:
        """The number of the first line that may still change."""
        return self.end - len(self._lines) if self._keeps else 0

    def _settled(self) -> list[bytes]:
        count = len(self._lines) - MAX_UP
        if self._size > _MAX_SCREEN:
            count = max(count, len(self._lines) // 2)
        if count <= 0:
            return []
        lines = self._lines[:count]
        del self._lines[:count]
        self._size = sum(map(len, self._lines))
        return lines


def _places(data: bytes) -> list[int]:
    """Return where lines are more than the text up to their line feeds."""
    return sorted([move.start() for pattern in _UNUSUAL for move in pattern.finditer(data)])


def _has_text(text: bytes) -> bool:
    """Whether text is more than control sequences, such as one that shows the cursor."""
    if not text.startswith((b"\x1b", b"\xc2")) or _COLOURED.match(text):
        return bool(text)
    return bool(plain(text.decode("utf-8", "replace")))


def _shown(line: bytes) -> bytes:
    line = line[:MAX_LINE]
    if not any(moves.search(line) for moves in _COLUMNS):
        return line
    return final_state(line.decode("utf-8", "replace")).encode()


def final_state(line: str) -> str:
    """Return a line in its final state, with colour sequences."""
    if len(line) > _MAX_STATE or not _IN_LINE.search(line):
        return line
    cells: list[tuple[str, str]] = []
    column, style = 0, ""
    for token in _TOKENS.finditer(line):
        text, (count, move, colours) = token[0], token.groups()
        if text == "\b":
            column = max(column - 1, 0)
        elif move:
            column = _moved(move, count, column, cells)
        elif colours is not None:
            style = _styled(style, colours)
        elif _is_control(text):
            continue
        elif text == "\t" and column < len(cells):
            # A tab moves the cursor, and keeps what is there.
            cells.append((text, style))
            column = len(cells)
        else:
            cells[column : column + 1] = [(text, style)]
            column += 1
    return _joined(cells)


def _moved(move: str, count: str, column: int, cells: list[tuple[str, str]]) -> int:
    by = max(int(count[:9] or "0"), 1)
    # Not beyond the end: a large count would make a long line.
    if move == "C":
        return min(column + by, len(cells))
    if move == "D":
        return max(column - by, 0)
    if move == "G":
        return min(by - 1, len(cells))
    if count == "2":
        cells.clear()
    elif count == "1":
        del cells[:column]
    else:
        del cells[column:]
    return 0 if count in {"1", "2"} else column


def _styled(style: str, colours: str) -> str:
    if _RESET.fullmatch(colours):
        return ""
    both = f"{style}\x1b[{colours}m"
    return style if len(both) > _MAX_STYLE else both


def _is_control(token: str) -> bool:
    if len(token) > 1:
        return token.startswith(("\x1b", "\x9b"))
    return ord(token) < ord("\t")


def _joined(cells: list[tuple[str, str]]) -> str:
    text, style = [], ""
    for character, its_style in cells:
        if its_style != style:
            text += ["\x1b[0m" if style else "", its_style]
        style = its_style
        text.append(character)
    return "".join(text) + ("\x1b[0m" if style else "")
