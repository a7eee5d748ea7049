"""The part of a phase that is over, by its numbered steps and layers."""

from __future__ import annotations

from collections.abc import Mapping

from .layers import PULLING, PUSHING
from .steps import Step

__all__ = ["Counted", "done", "further"]

Counted = Mapping[str, Step]
"""The furthest step of each key: numbered steps, and layers within one of them."""


def further(counted: Counted, step: Step) -> Counted | None:
    """Return the counts after a step has begun; None if the step would decrease them.

    buildx runs steps in parallel, and reports cached ones late.
    """
    last = counted.get(step.key)
    if last is not None and step.total and (step.index < last.index or last.total > step.total):
        return None
    within = counted if step.key in {PULLING, PUSHING} else {}
    return {**within, step.key: step} if step.total else within


def done(counted: Counted, step: Step) -> float:
    """Return the fraction of the phase that is over when a step begins; 0 if unknown."""
    if step.key == PULLING:
        # The base image is pulled during a step of the build.
        build = counted.get("step")
        return (build.index - 1 + _share(step)) / build.total if build else 0.0
    if step.key == PUSHING:
        return _share(step)
    return (step.index if step.cached else step.index - 1) / step.total if step.total else 0.0


def _share(step: Step) -> float:
    """Return the fraction of layers that are done, ignoring those that existed before."""
    new = step.total - step.existing
    return max(step.index - 1 - step.existing, 0) / new if new > 0 else 0.0
