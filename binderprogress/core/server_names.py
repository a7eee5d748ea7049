"""Names of named servers that every supported JupyterHub accepts."""

from __future__ import annotations

import re
from hashlib import sha256

__all__ = ["display_name", "server_name"]

_LONGEST = 30
_LONGEST_DISPLAY_NAME = 255
_HASH = 8
_VALID = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


def server_name(text: str) -> str:
    """Return a name for a named server.

    JupyterHub 6 only creates servers whose names have at most 30 characters, all of ``a-z``,
    ``0-9`` and single hyphens, the first a letter and the last none. Its `safe_slug` makes such
    names, too, but BinderHub's images still have JupyterHub 5.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        The text itself if it is valid. Otherwise, what is valid in its beginning, and a hash of it:
        different texts have different names.
    """
    if len(text) <= _LONGEST and _VALID.fullmatch(text):
        return text
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).lstrip("-0123456789")
    beginning = slug[: _LONGEST - _HASH - 1].strip("-") or "server"
    digest = sha256(text.encode(errors="surrogatepass")).hexdigest()
    return f"{beginning}-{digest[:_HASH]}"


def display_name(text: str) -> str:
    """Return a name to show for a server, as JupyterHub 6 allows it; empty if nothing is left.

    Parameters
    ----------
    text : str
    """
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:_LONGEST_DISPLAY_NAME].strip()
