"""Software Heritage ids (SWHIDs): which repository and commit they were archived from.

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
    "Use the address of the repository that it was archived from, or a Software Heritage id that "
    "names both: swh:1:rev:<commit>;origin=https://github.com/<user>/<repository>."
)


class Origin(NamedTuple):
    """Where a repository was archived from."""

    address: str
    ref: str
    path: str


def looks_like_swhid(text: str) -> bool:
    """Whether `text` begins as a Software Heritage id does."""
    return text.startswith("swh:")


def read_origin(text: str) -> Origin | None:
    """Read an id, or a page of Software Heritage's archive; None if it is something else.

    Raises
    ------
    SpecError
        If it does not say which commit of which repository it names.
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
        # The commit that a file or a folder was found in.
        anchor = _SWHID.fullmatch(unquote(qualifiers.get("anchor", "")))
        commit = anchor[2] if anchor and anchor[1] == "rev" else ""
    origin = unquote(qualifiers.get("origin", ""))
    if not origin or not commit:
        raise SpecError(f"Nothing is fetched from the Software Heritage archive here. {_FORM}")
    return Origin(origin, commit, unquote(qualifiers.get("path", "")).strip("/"))


def _of_page(query: dict[str, str]) -> Origin:
    if not query.get("origin_url"):
        raise SpecError(f"This page of Software Heritage names no repository. {_FORM}")
    ref = query.get("revision") or query.get("branch", "").removeprefix("refs/heads/")
    return Origin(query["origin_url"], ref, query.get("path", "").strip("/"))
