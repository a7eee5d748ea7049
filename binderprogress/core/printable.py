"""Makes text from repositories and clients safe for logs and terminals.

Attack: with a line feed, text can forge a line of the log. With an escape sequence it can move the
cursor, change the window's title, or write to the clipboard (OSC 52) of a person who reads it in a
terminal. Directional overrides change the order in which text is shown.
"""

from __future__ import annotations

import re

__all__ = ["ESCAPES", "escape", "escape_json", "indented", "message_lines", "plain", "printable"]

ESCAPES = (
    # Rules out most characters with one comparison.
    r"(?=[\x00-\x08\x0b-\x1f\x7f-\x9f])(?:"
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b+(?=\x1b)|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x8f\x91-\x97\x99\x9a\x9c]+"
    r")"
)
"""Escape sequences (ECMA-48) and control characters, which `plain` removes.

A sequence that is not finished ends with its line, so that it cannot hide the next one.
"""

_ESCAPES = re.compile(ESCAPES)

_COLOR = re.compile(r"\x1b\[[0-9;]{0,40}m")

_INDENT = "\n    "

_DIRECTIONS = "\u202a-\u202e\u2066-\u2069"
_SURROGATES = "\ud800-\udfff"
_UNSAFE = re.compile(f"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029{_DIRECTIONS}{_SURROGATES}]")
_DIRECTION = re.compile(f"[{_DIRECTIONS}]")
_SEPARATOR = re.compile("[\u2028\u2029]")
_SURROGATE = re.compile(f"[{_SURROGATES}]")


def plain(text: str) -> str:
    """Return `text` without escape sequences and control characters."""
    if text.isprintable():
        return text
    return _ESCAPES.sub("", text)


def escape(text: str) -> str:
    r"""Return text as one line of a log, with escapes such as ``\x1b`` for control characters."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def indented(text: str) -> str:
    """Return text as indented lines below a line of a log, so that none looks like a record."""
    return "".join([_INDENT + escape(line) for line in text.rstrip("\n").split("\n")])


def message_lines(text: str) -> str:
    """Escape a message of a log, except for the line ends that `indented` added."""
    # An attacker who writes such line ends gains nothing: the lines are indented.
    return _INDENT.join([escape(part) for part in text.split(_INDENT)])


def escape_json(text: str) -> str:
    """Escape JSON for a terminal. JSON itself escapes only some control characters."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def printable(text: str, *, colors: bool = False) -> str:
    """Return text for a terminal, without escape sequences but with its line feeds.

    Parameters
    ----------
    text : str
    colors : bool
        Keep the escape sequences of colors and fonts (SGR), which only change how text looks.
    """
    text = _ESCAPES.sub(_only_color, text) if colors else plain(text)
    text = _SEPARATOR.sub("\n", _DIRECTION.sub("", text))
    # Printing a lone surrogate would raise.
    return _SURROGATE.sub("\ufffd", text)


def _only_color(match: re.Match[str]) -> str:
    return match[0] if _COLOR.fullmatch(match[0]) else ""
