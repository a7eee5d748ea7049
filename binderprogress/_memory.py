"""Gives memory back to the system."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["give_back"]


def give_back() -> None:
    """Give memory that Python has freed back to the system. This takes some milliseconds.

    The C library keeps freed memory below what is still in use, so after some bursts a server takes
    the memory of all of them. Only glibc has a function for it; elsewhere, nothing is done.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
