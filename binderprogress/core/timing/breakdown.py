"""Where the time of a launch went: its spans by the kind of what they were spent on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import groupby
from typing import Any

import msgspec

from ..events import Event
from ..phases import Phase
from .spans import Span, spans

__all__ = ["Kind", "Trace", "TracedSpan", "chrome", "kind_of", "trace"]


class Kind(StrEnum):
    """What time is spent on."""

    CHECK = "check"
    FETCH = "fetch"
    BUILD = "build"
    PUSH = "push"
    SCHEDULE = "schedule"
    PULL = "pull"
    START = "start"
    FIRST_ANSWER = "first-answer"
    IDLE = "idle"


_BY_STEP = {
    # Whether there is something to build at all.
    "resolving": Kind.CHECK,
    "looking": Kind.CHECK,
    # Nothing goes on for this launch: a queue, a limit, a pause before the next try.
    "queued": Kind.IDLE,
    "retrying": Kind.IDLE,
    "another-hub": Kind.IDLE,
    # What the cluster has to give first.
    "waiting-for-node": Kind.SCHEDULE,
    "adding-node": Kind.SCHEDULE,
    "scheduled": Kind.SCHEDULE,
    "waiting-for-storage": Kind.SCHEDULE,
    "pulling": Kind.PULL,
    "answering": Kind.FIRST_ANSWER,
}
_BY_PHASE = {
    # A BinderHub that says nothing: its build is not there yet.
    Phase.WAITING: Kind.IDLE,
    Phase.FETCHING: Kind.FETCH,
    Phase.BUILDING: Kind.BUILD,
    Phase.PUSHING: Kind.PUSH,
    # Between the end of the build and the question for a server.
    Phase.BUILT: Kind.START,
    Phase.LAUNCHING: Kind.START,
}

_MAKING = {Phase.FETCHING, Phase.BUILDING, Phase.PUSHING}


class TracedSpan(Span, frozen=True, kw_only=True, omit_defaults=True):
    """A span, and what it was spent on.

    Attributes
    ----------
    kind : Kind
    """

    kind: Kind


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of one launch went, so far or in all.

    Attributes
    ----------
    id, spec : str
        The launch's.
    began : float
        Seconds since 1970.
    seconds : float
        How long it took, or takes so far.
    phase : Phase
        Where it is, or how it ended.
    reason : str
        On failed and cancelled: why.
    spans : list of TracedSpan
        Without gaps, from 0 to `seconds`.
    totals : dict
        Seconds of each kind; all kinds are there.
    """

    id: str = ""
    spec: str = ""
    began: float
    seconds: float
    phase: Phase
    reason: str = ""
    spans: list[TracedSpan]
    totals: dict[Kind, float]

    @property
    def cold(self) -> bool:
        """Whether the environment had to be made."""
        return any(span.phase in _MAKING and span.step != "reused" for span in self.spans)

    def phase_seconds(self) -> dict[Phase, float]:
        """Return how long each phase took, in their order."""
        found: dict[Phase, float] = {}
        for span in self.spans:
            found[span.phase] = found.get(span.phase, 0.0) + span.seconds
        return found


def kind_of(span: Span) -> Kind:
    """Return what a span was spent on."""
    return _BY_STEP.get(span.step) or _BY_PHASE[span.phase]


def trace(
    events: Sequence[Event],
    *,
    began: float,
    now: float | None = None,
    id: str = "",  # noqa: A002 - what it is called everywhere
    spec: str = "",
    took: Sequence[Span] | None = None,
) -> Trace:
    """Say where the time of a launch went.

    Parameters
    ----------
    events : sequence of Event
        All of them, in their order; at least one.
    began : float
        When it began, in seconds since 1970.
    now : float, optional
        The same clock's time, to which the newest step of a launch that is not over goes on.
    id, spec : str
        What it is.
    took : sequence of Span, optional
        What `past.spans` makes of these events, if it was asked already.
    """
    last = events[-1]
    found = list(spans(events, began=began) if took is None else took)
    if now is not None and not last.terminal:
        newest = found[-1]
        found[-1] = msgspec.structs.replace(newest, end=max(round(now - began, 3), newest.end))
    traced = [TracedSpan(**msgspec.structs.asdict(span), kind=kind_of(span)) for span in found]
    return Trace(
        id=id,
        spec=spec,
        began=began,
        seconds=found[-1].end if found else 0.0,
        phase=last.phase,
        reason=last.reason,
        spans=traced,
        totals=_totals(traced),
    )


def _totals(traced: Iterable[TracedSpan]) -> dict[Kind, float]:
    found = dict.fromkeys(Kind, 0.0)
    for span in traced:
        found[span.kind] += span.seconds
    return {kind: round(seconds, 3) for kind, seconds in found.items()}


# Rows of the viewer: threads of one process.
_PHASES, _STEPS = 1, 2


def chrome(trace: Trace) -> dict[str, Any]:
    """Return a trace in the Trace Event Format, which Perfetto and Chrome's tracing open.

    Times are whole microseconds since the launch began.
    """
    events = [_named("process_name", f"Launch of {trace.spec}")]
    for thread, name in ((_PHASES, "Phases"), (_STEPS, "Steps")):
        events.append(_named("thread_name", name, thread))
        events.append(
            {
                "ph": "M",
                "name": "thread_sort_index",
                "pid": 1,
                "tid": thread,
                "args": {"sort_index": thread},
            }
        )
    for (phase, _), group in groupby(trace.spans, lambda span: (span.phase, span.attempt)):
        found = list(group)
        args: dict[str, Any] = {"attempt": found[0].attempt}
        events.append(_drawn(_PHASES, phase, phase, found[0], found[-1], args))
    for span in trace.spans:
        args = {"phase": span.phase, "kind": span.kind, "cached": span.cached}
        name = span.label or span.kind
        events.append(_drawn(_STEPS, name, span.kind, span, span, args))
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "spec": trace.spec,
            "began": trace.began,
            "phase": trace.phase,
            "reason": trace.reason,
        },
    }


def _named(what: str, name: str, thread: int = 0) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": 1, "tid": thread, "args": {"name": name}}


def _drawn(
    thread: int, name: str, category: str, first: Span, last: Span, args: dict[str, Any]
) -> dict[str, Any]:
    start = round(first.start * 1e6)
    event = {"name": name, "cat": category, "pid": 1, "tid": thread, "ts": start, "args": args}
    duration = round(last.end * 1e6) - start
    if not duration:
        # A moment: speedscope draws what follows a complete event without length as if within it.
        return {"ph": "i", "s": "t", **event}
    return {"ph": "X", "dur": duration, **event}
