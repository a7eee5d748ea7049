"""Arrays for PostgreSQL as text, because psycopg takes ten times as long to write them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["integers", "texts"]


def integers(values: Iterable[int]) -> str:
    """Return an array of integers."""
    return "{" + ",".join(map(str, values)) + "}"


def texts(values: Sequence[str]) -> str:
    """Return an array of texts."""
    together = "".join(values)
    if '"' in together or "\\" in together:
        values = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
    return '{"' + '","'.join(values) + '"}' if values else "{}"
