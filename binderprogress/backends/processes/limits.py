"""Resource limits for programs.

Apart from `child`, because the processes of a build do not need asyncio.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["limited", "written"]


def limited(argv: Sequence[str], limits: Mapping[str, int]) -> list[str]:
    """Return the command that runs a program with resource limits.

    Parameters
    ----------
    argv : sequence of str
    limits : mapping of str to int
        Limits by the names of getrlimit(2) in lower case without ``RLIMIT_``: ``{"core": 0}``.
    """
    if not limits:
        return list(argv)
    program = Path(__file__).with_name("limited.py")
    return [sys.executable, "-I", "-S", str(program), written(limits), *argv]


def written(limits: Mapping[str, int]) -> str:
    """Write limits as an argument of our programs."""
    return ",".join(f"{name}={limit}" for name, limit in limits.items())
