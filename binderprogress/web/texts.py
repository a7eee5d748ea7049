"""Texts, numbers and times of the pages in the reader's language.

The texts are those of the browser, from `js/src/i18n/catalogs`.
"""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from functools import cache, lru_cache

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime, format_skeleton
from babel.numbers import format_decimal, format_percent
from babel.units import format_unit
from markupsafe import Markup, escape

from .languages import catalog_path, language_of

__all__ = ["Texts", "texts_in"]

_PLACEHOLDER = re.compile(r"\{([\w-]+)\}", re.ASCII)
_BYTES = ("byte", "kilobyte", "megabyte", "gigabyte", "terabyte", "petabyte")


@cache
def _catalog(language: str) -> dict[str, str]:
    texts: dict[str, str] = json.loads(catalog_path(language).read_bytes())
    return texts


@cache
def _keys() -> dict[str, str]:
    """Return the keys of the English texts by text."""
    return {text: key for key, text in reversed(_catalog("en").items())}


class Texts:
    """Texts, numbers and times in one language.

    Parameters
    ----------
    tag : str
        A tag of `choose_language`.
    """

    def __init__(self, tag: str) -> None:
        self.tag = tag
        """The tag of the language, such as ``de-AT``."""
        language = language_of(tag)
        self._catalog = _catalog(language)
        try:
            self._locale = Locale.parse(tag, sep="-")
        except (UnknownLocaleError, ValueError):
            # A region that nobody knows.
            self._locale = Locale.parse(language)
        self.dir = "rtl" if self._locale.character_order == "right-to-left" else "ltr"
        """The writing direction: ``ltr`` or ``rtl``."""

    def say(self, key: str, **values: object) -> Markup:
        """Return a text as HTML.

        Parameters
        ----------
        key : str
        **values
            What replaces ``{name}`` in the text. Only `Markup` is not escaped.

        Raises
        ------
        KeyError
            If there is no such text, or a value is missing.
        """
        # As in the browser: in right-to-left text, values are isolated, because they may be
        # left-to-right.
        before, after = ("\u2068", "\u2069") if self.dir == "rtl" else ("", "")
        text = str(escape(self._catalog[key]))
        filled = _PLACEHOLDER.sub(lambda m: f"{before}{escape(values[m[1]])}{after}", text)
        return Markup(filled)  # noqa: S704 - the text and the values are escaped

    def localize(self, text: str) -> Markup:
        """Return the translation of an English sentence of the server, as HTML.

        A sentence without a translation stays as it is, and is marked as English.
        """
        key = _keys().get(text)
        if key is not None:
            return self.say(key)
        if not text or language_of(self.tag) == "en":
            return escape(text)
        return Markup('<span lang="en" dir="ltr">{}</span>').format(text)

    def named(self, *prefixes: str) -> dict[str, str]:
        """Return the texts whose keys begin with one of these prefixes, by key."""
        return {key: text for key, text in self._catalog.items() if key.startswith(prefixes)}

    def text(self, key: str) -> str:
        """Return a text as it is, with its placeholders, and not as HTML."""
        return self._catalog[key]

    def number(self, value: float) -> str:
        """Format a number, with the digits that it has after the point, at most three."""
        return format_decimal(value, locale=self._locale)

    def unit(self, value: int, unit: str) -> str:
        """Format a number with its unit, such as ``30 days``."""
        return format_unit(value, unit, length="long", locale=self._locale)

    def size(self, value: int) -> str:
        """Format a number of bytes, such as ``1.5 GB``."""
        power = min(max(len(str(abs(value))) - 1, 0) // 3, len(_BYTES) - 1)
        scaled = value / 1000**power
        return format_unit(
            scaled, _BYTES[power], length="short", format="#,##0.#", locale=self._locale
        )

    def decimal(self, value: float, digits: int) -> str:
        """Format a number with so many digits after the point."""
        return format_decimal(round(value, digits), f"#,##0.{'0' * digits}", locale=self._locale)

    def percent(self, share: float) -> str:
        """Format a share from 0 to 1, such as ``12%``."""
        return format_percent(share, locale=self._locale)

    def seconds(self, value: float) -> str:
        """Format a duration, such as ``0.4 sec`` or ``12 min``."""
        unit, scaled = "second", value
        if value >= 3600:
            unit, scaled = "hour", value / 3600
        elif value >= 60:
            unit, scaled = "minute", value / 60
        digits = "#,##0.#" if scaled < 10 else "#,##0"
        return format_unit(scaled, unit, length="short", format=digits, locale=self._locale)

    def day(self, day: date, is_named: bool) -> str:
        """Format a day: as ``Mon``, or as ``2 Nov``."""
        if is_named:
            return format_date(day, "EEE", locale=self._locale)
        return format_skeleton("MMMd", day, locale=self._locale)

    def date(self, time: datetime) -> str:
        """Format a date and a time in UTC."""
        return f"{format_datetime(time, 'medium', locale=self._locale)} UTC"


@lru_cache(maxsize=64)
def texts_in(tag: str) -> Texts:
    """Return the texts of a language. Requests may name any region, so only some are kept."""
    return Texts(tag)
