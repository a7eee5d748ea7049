"""Texts, numbers and times of the pages in the reader's language.

The texts are those of the browser, from `js/src/i18n/catalogs`.
"""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from decimal import Decimal
from functools import cache, lru_cache

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime, format_skeleton
from babel.numbers import format_decimal, format_percent
from babel.units import format_unit
from markupsafe import Markup, escape

from ..core.periods import UNITS
from .languages import catalog_path, language_of

__all__ = ["Texts", "texts_in"]

_PLACEHOLDER = re.compile(r"\{([\w-]+)\}", re.ASCII)
_PERIOD = re.compile(rf"([\d.]{{1,20}}) ({'|'.join(UNITS)})s?", re.ASCII)
"""A length of time, as `period_text` writes it."""

_COUNT, _VALUE = r"\d{1,9}", ".{1,400}?"
"""Patterns of the values in messages."""

_SENTENCE = re.compile(r"(.+?(?:[.!?](?=\s)|[。！？]))\s*(.+)", re.DOTALL)

_LONGEST = 1000
"""Characters of a message. Longer ones are not recognized, which would take long."""

_BYTES = ("byte", "kilobyte", "megabyte", "gigabyte", "terabyte", "petabyte")


@cache
def _catalog(language: str) -> dict[str, str]:
    texts: dict[str, str] = json.loads(catalog_path(language).read_bytes())
    return texts


@cache
def _keys() -> dict[str, str]:
    """Return the keys of the English texts by text."""
    return {text: key for key, text in reversed(_catalog("en").items())}


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Return patterns for the messages of errors that contain values, and their keys."""
    found = []
    for key, text in _catalog("en").items():
        if key.startswith("error.") and "{" in text:
            parts = _PLACEHOLDER.split(text)
            parts[::2] = map(re.escape, parts[::2])
            parts[1::2] = [
                f"(?P<{name}>{_COUNT if name == 'count' else _VALUE})" for name in parts[1::2]
            ]
            found.append((re.compile("".join(parts), re.DOTALL), key))
    return found


def _recognized(message: str) -> tuple[str, dict[str, str]] | None:
    """Return the key of an English message, and the values in it."""
    if (key := _keys().get(message)) is not None:
        return key, {}
    if len(message) > _LONGEST:
        return None
    matches = ((pattern.fullmatch(message), key) for pattern, key in _patterns())
    return next(((key, match.groupdict()) for match, key in matches if match), None)


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
        if (known := _recognized(text)) is not None:
            return self._filled(*known)
        if not text or language_of(self.tag) == "en":
            return escape(text)
        return Markup('<span lang="en" dir="ltr">{}</span>').format(text)

    def heading(self, message: str, otherwise: str) -> tuple[Markup, Markup]:
        """Return what a page says of an error: its heading, and what follows, as HTML.

        The heading is the first sentence of the message, unless that is in another language.

        Parameters
        ----------
        message : str
            In English.
        otherwise : str
            The key of the heading of a message that has no translation.
        """
        text = self.localize(message)
        if _recognized(message) is None and language_of(self.tag) != "en":
            return self.say(otherwise), text
        sentences = _SENTENCE.fullmatch(text)
        # Both are escaped already.
        first, rest = sentences.groups() if sentences else (text, "")
        return Markup(first), Markup(rest)  # noqa: S704

    def _filled(self, key: str, values: dict[str, str]) -> Markup:
        """Return a message of an error with its values."""
        said: dict[str, object] = {**values}
        for name, value in values.items():
            if period := _PERIOD.fullmatch(value):
                said[name] = format_unit(
                    Decimal(period[1]), period[2], length="long", locale=self._locale
                )
        if "count" in values:
            count = int(values["count"])
            said["count"] = self.number(count)
            form = f"{key.rpartition('.')[0]}.{self._locale.plural_form(count)}"
            key = form if form in self._catalog else f"{key.rpartition('.')[0]}.other"
        return self.say(key, **said)

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
