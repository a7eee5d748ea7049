"""How much of a phase is over, as far as its steps are counted."""

from __future__ import annotations

from collections.abc import Mapping

from .layers import PULLING, PUSHING
from .steps import Step

__all__ = ["Counted", "done", "further"]

Counted = Mapping[str, Step]
"""Of what is counted at present, the furthest, by its key: steps, and within one of them layers."""


def further(counted: Counted, step: Step) -> Counted | None:
    """Return what is counted once a step has begun; None if it counts back.

    buildx runs steps side by side and tells of cached ones late: only forward counts.
    """
    last = counted.get(step.key)
    if last is not None and step.total and (step.index < last.index or last.total > step.total):
        return None
    within = counted if step.key in {PULLING, PUSHING} else {}
    return {**within, step.key: step} if step.total else within


def done(counted: Counted, step: Step) -> float:
    """Return how much of the phase is over when a step begins, as a part of it; 0 if unknown."""
    if step.key == PULLING:
        # The base image is pulled within a step of the build.
        build = counted.get("step")
        return (build.index - 1 + _share(step)) / build.total if build else 0.0
    if step.key == PUSHING:
        return _share(step)
    return (step.index if step.cached else step.index - 1) / step.total if step.total else 0.0


def _share(step: Step) -> float:
    """Return how many of the layers that were not there already are done, as a part of them."""
    rest = step.total - step.there
    return max(step.index - 1 - step.there, 0) / rest if rest > 0 else 0.0
