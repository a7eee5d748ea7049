"""What the estimator learns from one past launch: durations, and whether something happened.

Each observation has a key. The keys are phases, and steps with the time left of their phase.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..phases import Phase
from .spans import PastLaunch, Span

__all__ = [
    "AGAIN",
    "BUILD_PHASES",
    "COLD",
    "FIRST",
    "MADE",
    "PULL",
    "WARM_FETCH",
    "Key",
    "Observation",
    "chances",
    "durations",
    "left_key",
]

MOST_TIMES = 3
"""Maximum number of times that a step is recorded in one phase. If a step repeats, the first times
are the most informative."""

BUILD_PHASES = (Phase.FETCHING, Phase.BUILDING, Phase.PUSHING)
"""The phases that a launch skips if its environment exists."""

PULL = "pull"
COLD = "cold"
FIRST = "first"
AGAIN = "again"
MADE = "made"
WARM_FETCH = "fetching, warm"

Key = tuple[str, ...]

Observation = tuple[Key, float, bool]
"""Key; seconds, or 1.0 or 0.0 for a chance; and whether the duration is censored by a failure."""


def durations(past: PastLaunch) -> Iterator[Observation]:
    """Yield the durations of a launch, in seconds. One that took a standby server has none."""
    if past.took_standby:
        # It says nothing about those that find none.
        return
    failed = past.outcome is not Phase.READY
    last = past.spans[-1].phase if past.spans else None
    by_phase: dict[Phase, list[Span]] = {}
    for span in past.spans:
        by_phase.setdefault(span.phase, []).append(span)
    for phase, spans in by_phase.items():
        if past.joined and phase is not Phase.LAUNCHING:
            # Only the end of the build was seen.
            continue
        cut = failed and phase is last
        after = COLD if phase is Phase.LAUNCHING and past.cold else ""
        # If the image existed, the phase "building" only checked for it.
        if cut or past.cold or phase is not Phase.BUILDING:
            pulled = sum(span.seconds for span in spans if span.step == "pulling")
            # What is known of the queue itself is better than how long it took others.
            queued = sum(span.seconds for span in spans if span.is_place)
            seconds = sum(span.seconds for span in spans) - pulled - queued
            yield ("phase", phase, after), seconds, cut
            if pulled and not cut:
                yield (PULL,), pulled, False
        if not cut:
            yield from _left(phase, spans, after=after)


def _left(phase: Phase, spans: list[Span], *, after: str) -> Iterator[Observation]:
    """Yield the time left of a phase at the beginning of each of its steps."""
    end = spans[-1].end
    pulled = any(span.step == "pulling" for span in spans)
    queued = sum(span.is_place for span in spans)
    cached = False
    times: Counter[str] = Counter()
    for span in spans:
        name = span.digest or span.step
        # The steps before a pull or a queue are not counted: the time left would include it.
        if span.step == "pulling":
            pulled = False
        queued -= span.is_place
        if name and not (queued or span.is_place):
            times[name] += 1
            if not pulled and times[name] <= MOST_TIMES:
                key = left_key(phase, name, times[name], cached=cached, cold=bool(after))
                yield key, end - span.start, False
        cached = span.cached


def left_key(phase: Phase, step: str, time: int, *, cached: bool, cold: bool = False) -> Key:
    """Return the key for the time left of a phase at the beginning of a step.

    Parameters
    ----------
    phase : Phase
    step : str
        Digest or key of the step.
    time : int
        How many times the step has begun in this phase: JupyterHub starts a server, and later
        Kubernetes does.
    cached : bool
        Whether the previous step was cached, because then the next ones may be, too.
    cold : bool
        Whether a server is started after a build.
    """
    cold = cold and phase is Phase.LAUNCHING
    return ("left", phase, step, "cached" if cached else "", str(time), COLD if cold else "")


def chances(past: PastLaunch, *, first: bool) -> Iterator[Observation]:
    """Yield which parts of a launch happened, as 1.0 or 0.0.

    Parameters
    ----------
    past : PastLaunch
    first : bool
        Whether the environment of this commit did not exist before.
    """
    phases = {span.phase for span in past.spans}
    if past.took_standby or not phases & {Phase.BUILDING, Phase.BUILT, Phase.LAUNCHING}:
        # It did not need to be known whether a build is needed.
        return
    cold = past.cold
    if not past.joined:
        yield ("chance", COLD), float(cold), False
        yield ("chance", FIRST if first else AGAIN), float(cold), False
        if phases & {Phase.BUILT, Phase.LAUNCHING}:
            yield ("chance", MADE), 1.0, False
        if not cold:
            yield ("chance", WARM_FETCH), float(Phase.FETCHING in phases), False
        elif Phase.BUILT in phases:
            for phase in BUILD_PHASES:
                yield ("chance", phase), float(phase in phases), False
    # Unless only the environment was requested.
    if past.outcome is Phase.READY and Phase.LAUNCHING in phases:
        yield ("chance", PULL + (COLD if cold else "")), float(past.pulled > 0), False
