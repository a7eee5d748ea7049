"""Makes decoded JSON of strangers fit to be encoded again."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["clean"]

_SURROGATE = re.compile("[\ud800-\udfff]")
_DEEPEST = 32
# The integers that msgspec can encode.
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


def clean(value: Any, depth: int = 0) -> Any:
    """Return decoded JSON as a value that can be encoded again.

    Attack: JSON may contain lone surrogates, which UTF-8 does not allow, nest deeper than an
    encoder goes, and have integers with thousands of digits. Each would end the launch with an
    exception.
    """
    if isinstance(value, str):
        # isascii() takes constant time.
        return value if value.isascii() else _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict | list) and depth == _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {clean(str(key)): clean(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item, depth + 1) for item in value]
    if type(value) is int and not _SMALLEST <= value <= _LARGEST:
        return str(value)
    return value
