"""What one past launch says: how long what took, and what happened.

Each fact has a key, under which it is remembered. There are few of those: phases, and steps by how
much of their phase was left when they began.
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
    "Fact",
    "Key",
    "chances",
    "durations",
    "left_key",
]

MOST_TIMES = 3
"""How often a step may begin in a phase and be remembered; of a line that comes again and again,
the first times say the most."""

BUILD_PHASES = (Phase.FETCHING, Phase.BUILDING, Phase.PUSHING)
"""The phases that a launch skips whose environment is there already."""

PULL = "pull"
COLD = "cold"
FIRST = "first"
AGAIN = "again"
MADE = "made"
WARM_FETCH = "fetching, warm"

Key = tuple[str, ...]

Fact = tuple[Key, float, bool]
"""Its key; seconds, or whether it happened; and whether it was cut off by a bad end."""


def durations(past: PastLaunch) -> Iterator[Fact]:
    """Yield what took how long."""
    failed = past.outcome is not Phase.READY
    last = past.spans[-1].phase if past.spans else None
    by_phase: dict[Phase, list[Span]] = {}
    for span in past.spans:
        by_phase.setdefault(span.phase, []).append(span)
    for phase, spans in by_phase.items():
        if past.joined and phase is not Phase.LAUNCHING:
            # Only its end was seen.
            continue
        cut = failed and phase is last
        after = COLD if phase is Phase.LAUNCHING and past.cold else ""
        # Where the image was there already, building was only to see that.
        if cut or past.cold or phase is not Phase.BUILDING:
            pulled = sum(span.seconds for span in spans if span.step == "pulling")
            yield ("phase", phase, after), sum(span.seconds for span in spans) - pulled, cut
            if pulled and not cut:
                yield (PULL,), pulled, False
        if not cut:
            yield from _left(phase, spans, after=after)


def _left(phase: Phase, spans: list[Span], *, after: str) -> Iterator[Fact]:
    end = spans[-1].end
    pulled = any(span.step == "pulling" for span in spans)
    cached = False
    times: Counter[str] = Counter()
    for span in spans:
        name = span.digest or span.step
        # Until it is pulled, a launch with a pull is like any other.
        if span.step == "pulling":
            pulled = False
        if name:
            times[name] += 1
            if not pulled and times[name] <= MOST_TIMES:
                key = left_key(phase, name, times[name], cached=cached, cold=bool(after))
                yield key, end - span.start, False
        cached = span.cached


def left_key(phase: Phase, step: str, time: int, *, cached: bool, cold: bool = False) -> Key:
    """Return what is remembered of a step under which name.

    Parameters
    ----------
    phase : Phase
    step : str
        What the step is known by.
    time : int
        How often it has begun in this phase: a Hub starts a server, and later Kubernetes does.
    cached : bool
        Whether the step before was there already: then the next ones may be, too.
    cold : bool
        Of a start, whether it comes after a build.
    """
    cold = cold and phase is Phase.LAUNCHING
    return ("left", phase, step, "cached" if cached else "", str(time), COLD if cold else "")


def chances(past: PastLaunch, *, first: bool) -> Iterator[Fact]:
    """Yield what happened, in the first launch of a commit that came so far, or a later one."""
    phases = {span.phase for span in past.spans}
    if not phases & {Phase.BUILDING, Phase.BUILT, Phase.LAUNCHING}:
        # It ended before that was known.
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
    if past.outcome is Phase.READY:
        yield ("chance", PULL + (COLD if cold else "")), float(past.pulled > 0), False
