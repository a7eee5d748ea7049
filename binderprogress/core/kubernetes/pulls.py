"""What Kubernetes says of pulling an image."""

from __future__ import annotations

import re

import msgspec

__all__ = ["Pulled", "node_of", "pulled"]

_NODE = re.compile(r"Successfully assigned \S{1,300} to (\S{1,253})")
_PULLED = re.compile(r'Successfully pulled image "[^"]{1,500}" in (\S{1,30})')
_SIZE = re.compile(r"Image size: (\d{1,15}) bytes")
_PART = re.compile(r"(?<![\d.])([\d.]{1,20})(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Pulled(msgspec.Struct, frozen=True):
    """A pull that is over.

    Attributes
    ----------
    seconds : float
        How long it took, without waiting for other pulls.
    size : int
        Bytes of the image; 0 if the kubelet does not say, as before Kubernetes 1.30.
    """

    seconds: float
    size: int


def node_of(message: str) -> str:
    """Return the node that a pod was assigned to; empty if a message does not say."""
    match = _NODE.search(message)
    return match[1] if match else ""


def pulled(message: str) -> Pulled | None:
    """Read a kubelet's message about a pull that is over; None if it is another message."""
    match = _PULLED.search(message)
    if match is None:
        return None
    # Such as 1m32.5s, as Go writes it.
    parts = _PART.findall(match[1])
    if not parts or "".join(map("".join, parts)) != match[1]:
        return None
    try:
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    except ValueError:
        return None
    size = _SIZE.search(message)
    return Pulled(seconds, int(size[1]) if size else 0)
