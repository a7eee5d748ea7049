"""The clock of launches, and the limits of what they show."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

__all__ = ["Clock", "Limits"]


class Clock(msgspec.Struct, frozen=True):
    """The clock of a launch.

    Attributes
    ----------
    monotonic, utc : callable
        Return monotonic seconds, and seconds since 1970.
    """

    monotonic: Callable[[], float] = time.monotonic
    utc: Callable[[], float] = time.time


class Limits(msgspec.Struct, frozen=True):
    """Limits of a stream. The full log is not limited by them.

    Attributes
    ----------
    line : int
        Maximum characters of a line. A record may have several.
    log : int
        Maximum characters of all lines of a build.
    lines : int
        Maximum lines of a build. Even the shortest line takes a kilobyte of memory as an event.
    steps : int
        Maximum steps that are shown after lines are cut.
    """

    line: int = 4096
    log: int = 8 * 2**20
    lines: int = 100_000
    steps: int = 1000
