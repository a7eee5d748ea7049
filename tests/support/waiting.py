"""Waits for what another process or thread does, where there is no event for it."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["until"]


def until(
    is_true: Callable[[], object], said: Callable[[], str] = str, *, within: float = 120.0
) -> None:
    """Wait until something is true.

    Parameters
    ----------
    is_true : callable
    said : callable
        Returns what to show if it does not become true.
    within : float
        Seconds, also for a busy machine.
    """
    deadline = time.monotonic() + within
    while not is_true():
        assert time.monotonic() < deadline, said()
        time.sleep(0.05)
