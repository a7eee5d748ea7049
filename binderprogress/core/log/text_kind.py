"""What lines of a log have beside what is shown of them: most have nothing, or only colours."""

from __future__ import annotations

import re
from enum import IntEnum

__all__ = ["COLOURS", "TextKind", "kind_of", "text_in_lower_case"]

COLOURS = re.compile(rb"\x1b\[[\d;:]*+m")

_OTHER_ESCAPES = re.compile(rb"\x1b(?!\[[\d;:]*+m)")

_CONTROLS = bytes([*range(9), *range(0x0B, 0x1B), *range(0x1C, 0x20), 0x7F])
"""Control characters but tabs, line feeds and escapes."""

_C1 = re.compile(rb"\xc2(?:[\x80-\x9f]|\Z)")
"""A control character of two bytes, of which the second one may not have arrived."""

_LOWER = bytes(range(256)).lower()

_MANY = 16
"""Different colour sequences from which on a pattern looks for all of them. Attack: a new one in
each line, for each of which the text is read again.
"""


class TextKind(IntEnum):
    """What a text has beside what is shown of it. Of two texts together, the larger kind."""

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


def text_in_lower_case(lines: bytes) -> bytes:
    """Return lines of the kind `TextKind.COLOURED` in lower case and without colours."""
    # There are few different ones, and a pattern takes three times as long.
    for _ in range(_MANY):
        at = lines.find(b"\x1b")
        colour = COLOURS.match(lines, at) if at >= 0 else None
        if colour is None:
            break
        # Of the same length, which is faster than removing each.
        lines = lines.replace(colour[0], b"\0" * len(colour[0]))
    else:
        lines = COLOURS.sub(b"", lines)
    return lines.translate(_LOWER, b"\0")
