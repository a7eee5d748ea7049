"""Shortens lines that are too long to be shown.

``js/src/binderhub/lines.ts`` does the same in the browser.
"""

from __future__ import annotations

import re

__all__ = ["shortened"]

# A record may be as long as this many of the longest lines. BinderHub's have 23,000 characters, in
# short lines. Attack: a record of any size would be one event.
_LINES = 16

_LINE = re.compile(r"[^\r\n]+")


def shortened(message: str, longest: int, where: str = "") -> str:
    """Return a message whose lines have at most `longest` characters, and notes about the rest.

    Parameters
    ----------
    message : str
        One line or several.
    longest : int
        In characters.
    where : str
        Where the rest can be found, for the notes.
    """
    if len(message) <= longest:
        return message

    def cut(line: re.Match[str]) -> str:
        is_last = line.end() == len(shown)
        more = max(len(line[0]) - longest, 0) + (omitted if is_last else 0)
        note = f"… [{more:,} more characters{where}]" if more else ""
        return line[0][:longest] + note

    text = message.rstrip("\r\n")
    shown = text[: _LINES * longest].rstrip("\r\n")
    omitted = len(text) - len(shown)
    return _LINE.sub(cut, shown) + (message[len(text) :] or "\n" * bool(omitted))
