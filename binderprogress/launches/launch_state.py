"""What is said of a launch at a moment."""

from __future__ import annotations

import msgspec

from ..core.phases import Phase

__all__ = ["LaunchState"]


class LaunchState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a launch, as in `GET /api/launches/{id}`.

    Attributes
    ----------
    created, now : float
        Seconds since 1970; `now` is the server's clock.
    last : int
        The number of the newest event.
    """

    id: str
    spec: str
    title: str
    repo_url: str
    ref: str
    commit: str
    phase: Phase
    step: str
    progress: float
    message: str
    attempt: int
    created: float
    now: float
    last: int
    viewers: int
