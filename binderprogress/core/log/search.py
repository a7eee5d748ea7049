"""Finds a text in lines of a log, as `js/src/log/search.ts` does in the browser."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import chain

from ..printable import plain
from .text_kind import COLOURS, TextKind, kind_of, text_in_lower_case

__all__ = ["MAX_MATCHES", "LogSearch"]

MAX_MATCHES = 500
"""The maximum number of matches in a line."""

_MAX_READ = 40_000
_MAX_SHOWN = 10_000
"""How much of a line is read, and how much of that is shown, in characters."""


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
        self._needed = () if self._ascii else _cases_of(next(c for c in text if not c.isascii()))

    def count(self, line: bytes) -> int:
        """Return the number of matches in a line, with its escape sequences."""
        shown = plain(line.decode("utf-8", "replace")[:_MAX_READ])[:_MAX_SHOWN]
        count = 0
        for _ in self._pattern.finditer(shown):
            count += 1
            if count == MAX_MATCHES:
                break
        return count

    def find(self, lines: bytes, kind: TextKind = TextKind.OTHER) -> list[tuple[int, int]]:
        """Find matches in lines that end in line feeds.

        Parameters
        ----------
        lines : bytes
        kind : TextKind
            What `kind_of` says of them. This is faster if it is not `TextKind.OTHER`.

        Returns
        -------
        list of (int, int)
            Lines, counted from 0, and how many matches they have.
        """
        if not self._ascii:
            return self._find_each(lines)
        if kind is TextKind.COLOURED:
            text = text_in_lower_case(lines)
        else:
            text = (_without_controls(lines) if kind is TextKind.OTHER else lines).lower()
        hits: list[tuple[int, int]] = []
        raw: list[bytes] = []
        number, counted = 0, 0
        at = text.find(self._ascii)
        while at >= 0:
            raw = raw or lines.split(b"\n")
            end = text.find(b"\n", at)
            end = len(text) if end < 0 else end
            number += text.count(b"\n", counted, at)
            counted = at
            if len(raw[number]) > _MAX_SHOWN:
                count = self.count(raw[number])
            else:
                count = min(text.count(self._ascii, at, end), MAX_MATCHES)
            if count:
                hits.append((number, count))
            at = text.find(self._ascii, end)
        return hits

    def _find_each(self, lines: bytes) -> list[tuple[int, int]]:
        """Look at each line, if a character that is rare in logs is in one of them."""
        if not any(character in lines for character in self._needed):
            return []
        counts = [self.count(line) for line in lines.split(b"\n")]
        return [(number, count) for number, count in enumerate(counts) if count]


@lru_cache(maxsize=64)
def _cases_of(character: str) -> tuple[bytes, ...]:
    """Return the characters in UTF-8 that a search takes for the same, in upper and lower case."""
    same = re.compile(re.escape(character), re.IGNORECASE)
    # Surrogates are no characters.
    every = "".join(map(chr, chain(range(0x80, 0xD800), range(0xE000, 0x110000))))
    return tuple(found.encode() for found in same.findall(every))


def _without_controls(lines: bytes) -> bytes:
    """Return lines without escape sequences."""
    text = COLOURS.sub(b"", lines) if b"\x1b" in lines else lines
    if kind_of(text) is TextKind.PLAIN:
        return text
    return plain(text.decode("utf-8", "replace")).encode()
