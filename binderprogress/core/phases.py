"""The phases of a launch, and which may follow which."""

from __future__ import annotations

from enum import StrEnum

from ..errors import IllegalTransitionError

__all__ = ["BAD_ENDS", "COURSE", "TERMINAL", "TRANSITIONS", "UNPUSHED", "Phase", "check_transition"]


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

BAD_ENDS = frozenset({Phase.FAILED, Phase.CANCELLED})
"""The phases in which a launch ends without a server."""

COURSE = tuple(phase for phase in Phase if phase not in BAD_ENDS)
"""The phases of a launch that ends well, in their order."""

UNPUSHED = tuple(phase for phase in COURSE if phase is not Phase.PUSHING)
"""The same, if environments are used where they are built."""

TRANSITIONS: dict[Phase | None, frozenset[Phase]] = {
    None: frozenset({Phase.WAITING}),
    Phase.WAITING: BAD_ENDS
    | {Phase.WAITING, Phase.FETCHING, Phase.BUILDING, Phase.PUSHING, Phase.BUILT},
    Phase.FETCHING: BAD_ENDS | {Phase.FETCHING, Phase.BUILDING, Phase.PUSHING, Phase.BUILT},
    Phase.BUILDING: BAD_ENDS | {Phase.BUILDING, Phase.PUSHING, Phase.BUILT},
    Phase.PUSHING: BAD_ENDS | {Phase.PUSHING, Phase.BUILT},
    # From built to ready: only the environment was requested.
    Phase.BUILT: BAD_ENDS | {Phase.LAUNCHING, Phase.READY},
    Phase.LAUNCHING: BAD_ENDS | {Phase.LAUNCHING, Phase.READY},
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
