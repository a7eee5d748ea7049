"""Reads Software Heritage ids (SWHIDs), which name the original repository and commit.

Source: https://swhid.org/specification/v1.2/
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from ..errors import SpecError

__all__ = ["Origin", "looks_like_swhid", "read_origin"]

_HOST = "archive.softwareheritage.org"
_SWHID = re.compile(r"swh:1:(ori|cnt|rev|dir|snp|rel):([0-9a-f]{40})((?:;.*)?)", re.DOTALL)
_FORM = (
    "Use the address of the original repository, or a Software Heritage id with a commit and an "
    "origin: swh:1:rev:<commit>;origin=https://github.com/<user>/<repository>."
)


class Origin(NamedTuple):
    """The repository, ref and path that were archived."""

    address: str
    ref: str
    path: str


def looks_like_swhid(text: str) -> bool:
    """Whether `text` starts like a Software Heritage id."""
    return text.startswith("swh:")


def read_origin(text: str) -> Origin | None:
    """Read an id, or the address of a page of Software Heritage. None for other addresses.

    Raises
    ------
    SpecError
        If the repository or the commit is missing.
    """
    if not looks_like_swhid(text):
        parts = urlsplit(text)
        if parts.hostname != _HOST:
            return None
        query = dict(parse_qsl(parts.query, errors="replace"))
        text = unquote(parts.path).strip("/")
        if not looks_like_swhid(text):
            return _of_page(query)
    match = _SWHID.fullmatch(text)
    if match is None:
        raise SpecError(f"This is not a Software Heritage id. {_FORM}")
    kind, commit, more = match.groups()
    qualifiers = dict(part.partition("=")[::2] for part in more.split(";") if part)
    if kind != "rev":
        # For files and folders, the qualifier "anchor" names the commit.
        anchor = _SWHID.fullmatch(unquote(qualifiers.get("anchor", "")))
        commit = anchor[2] if anchor and anchor[1] == "rev" else ""
    origin = unquote(qualifiers.get("origin", ""))
    if not origin or not commit:
        raise SpecError(f"This server does not fetch from the Software Heritage archive. {_FORM}")
    return Origin(origin, commit, unquote(qualifiers.get("path", "")).strip("/"))


def _of_page(query: dict[str, str]) -> Origin:
    if not query.get("origin_url"):
        raise SpecError(f"This page of Software Heritage names no repository. {_FORM}")
    ref = query.get("revision") or query.get("branch", "").removeprefix("refs/heads/")
    return Origin(query["origin_url"], ref, query.get("path", "").strip("/"))
