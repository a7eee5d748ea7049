"""Text from repositories and clients, made harmless for logs and terminals.

Attack: with a line feed, text begins a line of the log that looks like one of ours. With an escape
sequence it moves the cursor, changes the window's title, or writes to the clipboard (OSC 52) of
whoever reads it in a terminal. Directional overrides show text in another order than it has.
"""

from __future__ import annotations

import re

__all__ = ["ESCAPES", "escape", "escape_json", "indented", "message_lines", "plain", "printable"]

ESCAPES = (
    # Most characters begin none, and are passed over by one look.
    r"(?=[\x00-\x08\x0b-\x1f\x7f-\x9f])(?:"
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b+(?=\x1b)|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x8f\x91-\x97\x99\x9a\x9c]+"
    r")"
)
"""What `plain` takes out."""

_ESCAPES = re.compile(ESCAPES)

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
    r"""Return text as one line of a log: what is not printable is written as ``\x1b``."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def indented(text: str) -> str:
    """Return text as lines that follow a line of a log: none of them looks like a record."""
    return "".join([_INDENT + escape(line) for line in text.rstrip("\n").split("\n")])


def message_lines(text: str) -> str:
    """Escape a message of a log, but for what `indented` has added to it."""
    # Whoever writes such lines without it gains nothing: they are indented.
    return _INDENT.join([escape(part) for part in text.split(_INDENT)])


def escape_json(text: str) -> str:
    """Return JSON that does nothing in a terminal; JSON itself escapes only some of it."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def printable(text: str) -> str:
    """Return text for a terminal: without escape sequences, and with all line feeds."""
    text = _SEPARATOR.sub("\n", _DIRECTION.sub("", plain(text)))
    # A terminal's encoding has no lone surrogates: printing one would raise.
    return _SURROGATE.sub("\ufffd", text)
