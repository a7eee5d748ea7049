"""The language of a page: the one that its address names, else the one that the browser prefers."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from .._share import share_path

__all__ = ["catalog_path", "choose_language", "language_of"]

_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}", re.ASCII)
"""Language tags such as ``de`` and ``zh-Hant-TW`` (BCP 47, without extensions)."""

_QUALITY = re.compile(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", re.ASCII)

_MOST = 20
"""Maximum number of languages that are read of a request. Browsers send a few."""


def language_of(tag: str) -> str:
    """Return the language of a tag without its region: ``de`` for ``de-AT``."""
    return tag.partition("-")[0].lower()


def catalog_path(language: str) -> Path:
    """Return the path of the file with the texts of a language.

    Raises
    ------
    ConfigError
        If the files have not been built.
    """
    return share_path("static", "catalogs") / f"{language}.json"


@cache
def _languages() -> frozenset[str]:
    return frozenset(path.stem for path in share_path("static", "catalogs").glob("*.json"))


def choose_language(asked: str, accepted: str) -> str:
    """Return the tag of the language of a page.

    Parameters
    ----------
    asked : str
        The language that the address of the page names, or an empty string.
    accepted : str
        The header ``Accept-Language``, or an empty string.

    Returns
    -------
    str
        A tag with its region, such as ``de-AT``, which also decides about numbers. There is a
        catalog of its language. ``en`` if there is none of all these languages.
    """
    for tag in [asked, *_by_preference(accepted)]:
        if _TAG.fullmatch(tag) and language_of(tag) in _languages():
            return tag
    return "en"


def _by_preference(accepted: str) -> list[str]:
    """Return the language tags of a header, best first (RFC 9110, section 12.5.4)."""
    tags = []
    for item in accepted.split(",", _MOST)[:_MOST]:
        tag, _, parameter = item.partition(";")
        quality = _QUALITY.fullmatch(parameter)
        weight = float(quality[1]) if quality else 1.0
        if weight > 0.0:
            tags.append((weight, tag.strip()))
    return [tag for _, tag in sorted(tags, key=lambda pair: -pair[0])]
