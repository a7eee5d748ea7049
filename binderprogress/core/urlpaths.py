"""The path to open in a Jupyter server."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..errors import BadRequestError

__all__ = ["check_urlpath", "file_urlpath", "requested_urlpath"]

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)

# Allowed in the name of a file, but not literally in a URL's path.
_QUOTED_IN_PATH = str.maketrans({"%": "%25", "?": "%3F", "#": "%23"})


def check_urlpath(text: str) -> str:
    """Check a path to open in a Jupyter server, and return it without leading slashes.

    Raises
    ------
    BadRequestError
        If it is a URL, leaves the server, or has characters that are not allowed.
    """
    text = text.strip()
    path = text.lstrip("/")
    # Decoded as browsers, proxies and the server may do.
    plain = re.split(r"[?#]", text, maxsplit=1)[0]
    for quoted, character in (("%2e", "."), ("%2f", "/"), ("%5c", "\\")):
        plain = re.sub(quoted, lambda _, to=character: to, plain, flags=re.IGNORECASE)
    if not path.isprintable() or "\\" in path + plain:
        raise BadRequestError(
            "The path to open must not contain control characters or backslashes."
        )
    leaves = plain.startswith("//") or ".." in plain.split("/")
    if leaves or _SCHEME.match(plain.lstrip("/")):
        # Attack: a link that leads to another server, together with the token of this one.
        raise BadRequestError(
            "The path to open must be a path in the Jupyter server, such as lab/tree/index.ipynb, "
            "and not a URL."
        )
    return path


def file_urlpath(path: str, prefix: str = "lab/tree/") -> str:
    """Return the path that opens a file or folder of the repository, JupyterLab's by default."""
    return prefix + path.translate(_QUOTED_IN_PATH)


def requested_urlpath(query: Mapping[str, str]) -> str:
    """Return the path that a BinderHub link opens, from ``urlpath``, ``labpath`` or ``filepath``.

    Parameters
    ----------
    query : mapping
        The query's arguments, unquoted.

    Raises
    ------
    BadRequestError
        See `check_urlpath`.
    """
    urlpath = query.get("urlpath", "")
    for argument, prefix in (("labpath", "lab/tree/"), ("filepath", "tree/")):
        path = query.get(argument, "")
        if path and not urlpath:
            urlpath = prefix + path.lstrip("/")
    return check_urlpath(urlpath)
