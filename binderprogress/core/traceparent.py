"""The W3C's ``traceparent``: which trace a request belongs to."""

from __future__ import annotations

import re

import msgspec

__all__ = ["TraceParent", "parse"]

# Version, trace, parent, flags. A version to come may have more behind, after a dash.
_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_SAMPLED = 1


class TraceParent(msgspec.Struct, frozen=True):
    """A span of a trace.

    Attributes
    ----------
    trace_id : str
        32 hexadecimal digits.
    span_id : str
        16 hexadecimal digits.
    sampled : bool
        Whether its spans are to be kept.
    """

    trace_id: str
    span_id: str
    sampled: bool = True

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


def parse(header: str) -> TraceParent | None:
    """Read the header; None if it is not one, which is to be taken as if there were none."""
    found = _HEADER.fullmatch(header)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if not (int(trace_id, 16) and int(span_id, 16)):
        return None
    return TraceParent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))
