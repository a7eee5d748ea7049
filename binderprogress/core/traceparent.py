"""The ``traceparent`` header (W3C Trace Context), which links a request to a trace."""

from __future__ import annotations

import re

import msgspec

__all__ = ["TraceParent", "parse"]

# Version, trace, parent, flags. Later versions may add fields after a dash.
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
        Whether the spans of the trace are recorded.
    """

    trace_id: str
    span_id: str
    sampled: bool = True

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


def parse(header: str) -> TraceParent | None:
    """Parse the header; None if it is invalid, and must be ignored."""
    match = _HEADER.fullmatch(header)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if not (int(trace_id, 16) and int(span_id, 16)):
        return None
    return TraceParent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))
