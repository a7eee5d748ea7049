"""A question to a simulation in another process, as MessagePack."""

from __future__ import annotations

import msgspec

from ..core.timing.spans import PastLaunch
from .policy import Policy

__all__ = ["WRONG_QUESTION", "Question"]

WRONG_QUESTION = 2
"""The exit code if the question is at fault. Standard error says why."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be simulated.

    Attributes
    ----------
    policies : list of (str, Policy)
        With their names. They describe what is launched, if nothing was recorded.
    launches : list of PastLaunch or None
        What was recorded.
    began, ended : float
        When, in seconds since 1970.
    runs : int
    """

    policies: list[tuple[str, Policy]]
    launches: list[PastLaunch] | None = None
    began: float = 0.0
    ended: float = 0.0
    runs: int = 5
