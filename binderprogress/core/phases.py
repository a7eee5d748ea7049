"""The phases of a launch, and which may follow which."""

from __future__ import annotations

from enum import StrEnum

from ..errors import IllegalTransitionError

__all__ = ["TERMINAL", "TRANSITIONS", "Phase", "check_transition"]


class Phase(StrEnum):
    """Where a launch is. The names are BinderHub's, so that its clients keep working."""

    WAITING = "waiting"
    FETCHING = "fetching"
    BUILDING = "building"
    PUSHING = "pushing"
    BUILT = "built"
    LAUNCHING = "launching"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = frozenset({Phase.READY, Phase.FAILED, Phase.CANCELLED})

_BAD_END = frozenset({Phase.FAILED, Phase.CANCELLED})

TRANSITIONS: dict[Phase | None, frozenset[Phase]] = {
    None: frozenset({Phase.WAITING}),
    Phase.WAITING: _BAD_END
    | {Phase.WAITING, Phase.FETCHING, Phase.BUILDING, Phase.PUSHING, Phase.BUILT},
    Phase.FETCHING: _BAD_END | {Phase.FETCHING, Phase.BUILDING, Phase.PUSHING, Phase.BUILT},
    Phase.BUILDING: _BAD_END | {Phase.BUILDING, Phase.PUSHING, Phase.BUILT},
    Phase.PUSHING: _BAD_END | {Phase.PUSHING, Phase.BUILT},
    # From built to ready: only the environment was requested.
    Phase.BUILT: _BAD_END | {Phase.LAUNCHING, Phase.READY},
    Phase.LAUNCHING: _BAD_END | {Phase.LAUNCHING, Phase.READY},
    Phase.READY: frozenset(),
    Phase.FAILED: frozenset(),
    Phase.CANCELLED: frozenset(),
}
"""The phases that may follow each phase. None stands for the time before the first event.

Phases may be skipped, as building is if the image exists, but a launch never returns to an earlier
one. Records that name an earlier phase are reported under the current one.
"""


def check_transition(before: Phase | None, after: Phase) -> None:
    """Check that `after` may follow `before`.

    Raises
    ------
    IllegalTransitionError
        If it may not.
    """
    if after not in TRANSITIONS[before]:
        raise IllegalTransitionError(before.value if before else "nothing", after.value)
