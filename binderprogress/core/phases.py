"""The phases of a launch, and which may follow which."""

from __future__ import annotations

from enum import StrEnum

from ..errors import IllegalTransitionError

__all__ = ["TERMINAL", "TRANSITIONS", "Phase", "check_transition"]


class Phase(StrEnum):
    """Where a launch is. The names are BinderHub's, so that its clients go on working."""

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
    # At once ready: only the environment was wanted.
    Phase.BUILT: _BAD_END | {Phase.LAUNCHING, Phase.READY},
    Phase.LAUNCHING: _BAD_END | {Phase.LAUNCHING, Phase.READY},
    Phase.READY: frozenset(),
    Phase.FAILED: frozenset(),
    Phase.CANCELLED: frozenset(),
}
"""For each phase (None: before the first event) those that may come next.

Phases may be skipped (an image that is there already is not built) but never come back: what a
source says about an earlier phase is told under the present one, see `normalize`.
"""


def check_transition(before: Phase | None, after: Phase) -> None:
    """Refuse a phase that cannot follow `before`.

    Raises
    ------
    IllegalTransitionError
        If it cannot; nothing is changed.
    """
    if after not in TRANSITIONS[before]:
        raise IllegalTransitionError(before.value if before else "nothing", after.value)
