"""Finds a text in lines of a log, as `js/src/log/search.ts` does in the browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache
from itertools import chain

from ..printable import plain

__all__ = ["MAX_MATCHES", "LogSearch", "TextKind", "kind_of"]

MAX_MATCHES = 500
"""The maximum number of matches in a line."""

_MAX_READ = 40_000
_MAX_SHOWN = 10_000
"""How much of a line is read, and how much of that is shown, in characters."""

_MANY = 50
"""Places in a text where colours may be within what is looked for."""

_COLOURS = re.compile(rb"\x1b\[[\d;:]*+m")

_OTHER_ESCAPES = re.compile(rb"\x1b(?!\[[\d;:]*+m)")

_CONTROLS = bytes([*range(9), *range(0x0B, 0x1B), *range(0x1C, 0x20), 0x7F])
"""Control characters but tabs, line feeds and escapes."""

_C1 = re.compile(rb"\xc2[\x80-\x9f]")


class TextKind(IntEnum):
    """What a text has beside what is shown of it."""

    PLAIN = 0
    """Nothing."""
    COLOURED = 1
    """Colour sequences."""
    OTHER = 2
    """Anything."""


def kind_of(lines: bytes) -> TextKind:
    """Return what lines have beside what is shown of them."""
    if len(lines.translate(None, _CONTROLS)) < len(lines):
        return TextKind.OTHER
    if b"\xc2" in lines and _C1.search(lines):
        return TextKind.OTHER
    if b"\x1b" not in lines:
        return TextKind.PLAIN
    return TextKind.OTHER if _OTHER_ESCAPES.search(lines) else TextKind.COLOURED


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
        self._split = _split_by_colours(self._ascii)
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
        if kind is TextKind.OTHER:
            lines, kind = _without_controls(lines), TextKind.PLAIN
        text = lines.lower()
        if kind is TextKind.COLOURED and self._split and len(self._split.findall(text)) > _MANY:
            # Most lines would be looked at.
            text, kind = _COLOURS.sub(b"", text), TextKind.PLAIN
        hits: list[tuple[int, int]] = []
        number, counted = 0, 0
        for start, end in self._candidates(text, kind):
            number += text.count(b"\n", counted, start)
            counted = start
            line = text[start:end]
            if len(line) > _MAX_SHOWN:
                count = self.count(line)
            else:
                shown = _COLOURS.sub(b"", line) if kind is TextKind.COLOURED else line
                count = min(shown.count(self._ascii), MAX_MATCHES)
            if count:
                hits.append((number, count))
        return hits

    def _candidates(self, text: bytes, kind: TextKind) -> Iterator[tuple[int, int]]:
        """Yield where lines begin and end that may have a match."""
        # Removing colours from all lines would take ten times as long.
        split = self._split if kind is TextKind.COLOURED else None
        whole = text.find(self._ascii)
        parted = split.search(text) if split else None
        while whole >= 0 or parted:
            places = [whole] if whole >= 0 else []
            at = min(places + ([parted.start()] if parted else []))
            end = text.find(b"\n", at)
            end = len(text) if end < 0 else end
            yield text.rfind(b"\n", 0, at) + 1, end
            if 0 <= whole < end:
                whole = text.find(self._ascii, end)
            if split and parted and parted.start() < end:
                parted = split.search(text, end)

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


def _split_by_colours(text: bytes) -> re.Pattern[bytes] | None:
    """Return what finds all colour sequences that may be within a text; None if none can be."""
    if len(text) < 2:
        return None
    before, after = (
        b"".join(re.escape(bytes([character])) for character in sorted(set(characters)))
        for characters in (text[:-1], text[1:])
    )
    # It begins with an escape, and not with what may be before that: that is found much faster.
    return re.compile(rb"\x1b(?<=[%b]\x1b)\[[\d;:]*+m(?=[%b\x1b])" % (before, after))


def _without_controls(lines: bytes) -> bytes:
    """Return lines without escape sequences."""
    text = _COLOURS.sub(b"", lines) if b"\x1b" in lines else lines
    if kind_of(text) is TextKind.PLAIN:
        return text
    return plain(text.decode("utf-8", "replace")).encode()
