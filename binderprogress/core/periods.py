"""Lengths of time in English words, for messages."""

from __future__ import annotations

__all__ = ["UNITS", "period_text"]

UNITS = {"day": 86400, "hour": 3600, "minute": 60, "second": 1}
"""The seconds of each unit, longest first."""


def period_text(seconds: float) -> str:
    """Return a length of time in the longest unit that divides it: ``2 hours``, ``90 seconds``.

    Parameters
    ----------
    seconds : float
        A positive number, also a fraction.
    """
    unit = next((name for name, size in UNITS.items() if seconds % size == 0), "second")
    count = seconds / UNITS[unit]
    return f"{count:.10g} {unit}{'' if count == 1 else 's'}"
