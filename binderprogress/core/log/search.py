"""Finds a text in lines of a log, as `js/src/log/search.ts` does in the browser."""

from __future__ import annotations

import re

from ..printable import plain

__all__ = ["MAX_MATCHES", "LogSearch"]

MAX_MATCHES = 500
"""The maximum number of matches in a line."""

_MAX_READ = 40_000
_MAX_SHOWN = 10_000
"""How much of a line is read, and how much of that is shown, in characters."""

_COLOURS = re.compile(rb"\x1b\[[\d;:]*m")

_CONTROLS = bytes([*range(9), *range(0x0B, 0x20), 0x7F])

_C1 = re.compile(rb"\xc2[\x80-\x9f]")


class LogSearch:
    """A case-insensitive search in the text of lines, without escape sequences.

    Parameters
    ----------
    text : str
        What to look for: one character or more, and no line feed.
    """

    def __init__(self, text: str) -> None:
        self._pattern = re.compile(re.escape(text), re.IGNORECASE)
        self._ascii = text.lower().encode() if text.isascii() else b""

    def count(self, line: bytes) -> int:
        """Return the number of matches in a line, with its escape sequences."""
        shown = plain(line.decode("utf-8", "replace")[:_MAX_READ])[:_MAX_SHOWN]
        count = 0
        for _ in self._pattern.finditer(shown):
            count += 1
            if count == MAX_MATCHES:
                break
        return count

    def find(self, lines: bytes) -> list[tuple[int, int]]:
        """Find matches in lines that end in line feeds.

        Returns
        -------
        list of (int, int)
            Lines, counted from 0, and how many matches they have.
        """
        if not self._ascii:
            return self._find_each(lines)
        text = _without_controls(lines).lower()
        hits: list[tuple[int, int]] = []
        number, counted = 0, 0
        at = text.find(self._ascii)
        while at >= 0:
            number += text.count(b"\n", counted, at)
            counted = at
            start = text.rfind(b"\n", 0, at) + 1
            end = text.find(b"\n", at)
            end = len(text) if end < 0 else end
            if end - start <= _MAX_SHOWN:
                count = min(text.count(self._ascii, at, end), MAX_MATCHES)
            else:
                count = self.count(text[start:end])
            if count:
                hits.append((number, count))
            at = text.find(self._ascii, end)
        return hits

    def _find_each(self, lines: bytes) -> list[tuple[int, int]]:
        counts = [self.count(line) for line in lines.split(b"\n")]
        return [(number, count) for number, count in enumerate(counts) if count]


def _without_controls(lines: bytes) -> bytes:
    """Return lines without escape sequences."""
    text = _COLOURS.sub(b"", lines) if b"\x1b" in lines else lines
    if len(text.translate(None, _CONTROLS)) == len(text) and not _C1.search(text):
        return text
    return plain(text.decode("utf-8", "replace")).encode()
