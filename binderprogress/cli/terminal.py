"""What the terminal can show."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = ["ascii_json", "prefers_ascii", "print_ascii", "while_loading"]

_LOADING = "Starting ..."

_ASCII = {
    "…": "...",
    "–": "-",
    "—": "-",
    "·": "-",
    "×": "x",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "✓": "ok",
    "✗": "x",
}


def prefers_ascii(variables: Mapping[str, str] = os.environ) -> bool:
    """Whether the locale is C or POSIX, which only has ASCII, and was chosen.

    Python itself writes UTF-8 then, because in many containers no locale is set.
    """
    names = ("LC_ALL", "LC_CTYPE", "LANG")
    chosen = next((variables[name] for name in names if variables.get(name)), "")
    return chosen in {"C", "POSIX"}


def print_ascii() -> None:
    """Let everything that is printed be ASCII. Other characters are replaced by similar ones."""
    codecs.register_error("binderprogress.ascii", _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="ascii", errors="binderprogress.ascii")


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_ASCII.get(character, "?") for character in text), error.end


def ascii_json(text: str) -> str:
    """Return JSON for standard output: with escapes, if that only has ASCII."""
    if sys.stdout.encoding.lower() not in {"ascii", "us-ascii"}:
        return text
    return "".join(
        character if character.isascii() else _json_escape(character) for character in text
    )


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


@contextmanager
def while_loading() -> Iterator[None]:
    """Show that the command is starting, in a terminal. Importing a command may take a second."""
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        yield
        return
    sys.stderr.write(_LOADING)
    sys.stderr.flush()
    try:
        yield
    finally:
        # Back to the first column, and erase the line.
        sys.stderr.write("\r\x1b[2K")
        sys.stderr.flush()
