"""Where the time of a launch went: its spans by kind of work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import groupby
from typing import Any

import msgspec

from ..events import DoneAhead, Event
from ..phases import Phase
from .spans import Span, spans

__all__ = ["Kind", "Trace", "TracedSpan", "chrome", "kind_of", "trace"]


class Kind(StrEnum):
    """A kind of work that takes time."""

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
    # Checking whether a build is needed.
    "resolving": Kind.CHECK,
    "looking": Kind.CHECK,
    # No work for this launch: a queue, a limit, a pause before the next attempt.
    "queued": Kind.IDLE,
    "hub-away": Kind.IDLE,
    "binderhub-away": Kind.IDLE,
    "retrying": Kind.IDLE,
    "another-hub": Kind.IDLE,
    # Waiting for the cluster.
    "waiting-for-node": Kind.SCHEDULE,
    "adding-node": Kind.SCHEDULE,
    "scheduled": Kind.SCHEDULE,
    "waiting-for-storage": Kind.SCHEDULE,
    "evicted": Kind.SCHEDULE,
    "pulling": Kind.PULL,
    "answering": Kind.FIRST_ANSWER,
}
_BY_PHASE = {
    # A BinderHub sends nothing until its build begins.
    Phase.WAITING: Kind.IDLE,
    Phase.FETCHING: Kind.FETCH,
    Phase.BUILDING: Kind.BUILD,
    Phase.PUSHING: Kind.PUSH,
    # Between the end of the build and the request for a server.
    Phase.BUILT: Kind.START,
    Phase.LAUNCHING: Kind.START,
}

_MAKING = {Phase.FETCHING, Phase.BUILDING, Phase.PUSHING}


class TracedSpan(Span, frozen=True, kw_only=True, omit_defaults=True):
    """A span with its kind of work.

    Attributes
    ----------
    kind : Kind
    """

    kind: Kind


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of one launch went, which need not have ended.

    Attributes
    ----------
    id, spec : str
        Id and spec of the launch.
    began : float
        Seconds since 1970.
    seconds : float
        Duration so far, or of a finished launch.
    phase : Phase
        Current phase, or the outcome.
    reason : str
        Reason of a failed or cancelled launch.
    spans : list of TracedSpan
        Without gaps, from 0 to `seconds`.
    totals : dict
        Seconds by kind, with all kinds.
    ahead : list of DoneAhead
        What was done at the same time. It is not part of `spans` and `totals`.
    """

    id: str = ""
    spec: str = ""
    began: float
    seconds: float
    phase: Phase
    reason: str = ""
    spans: list[TracedSpan]
    totals: dict[Kind, float]
    ahead: list[DoneAhead] = []

    @property
    def cold(self) -> bool:
        """Whether the environment had to be built."""
        return any(span.phase in _MAKING and span.step != "reused" for span in self.spans)

    def phase_seconds(self) -> dict[Phase, float]:
        """Return the duration of each phase in seconds, in the order of the phases."""
        totals: dict[Phase, float] = {}
        for span in self.spans:
            totals[span.phase] = totals.get(span.phase, 0.0) + span.seconds
        return totals


def kind_of(span: Span) -> Kind:
    """Return the kind of work of a span."""
    return _BY_STEP.get(span.step) or _BY_PHASE[span.phase]


def trace(
    events: Sequence[Event],
    *,
    began: float,
    now: float | None = None,
    id: str = "",  # noqa: A002 - its name everywhere
    spec: str = "",
    took: Sequence[Span] | None = None,
    ahead: Sequence[DoneAhead] = (),
) -> Trace:
    """Return where the time of a launch went.

    Parameters
    ----------
    events : sequence of Event
        All events in their order; at least one.
    began : float
        When it began, in seconds since 1970.
    now : float, optional
        Current time in seconds since 1970. The last span of a running launch ends here.
    id, spec : str
        Id and spec of the launch.
    took : sequence of Span, optional
        The spans of these events, if the caller already has them.
    ahead : sequence of DoneAhead
        What was done at the same time.
    """
    last = events[-1]
    cut = list(spans(events, began=began) if took is None else took)
    if now is not None and not last.terminal:
        newest = cut[-1]
        cut[-1] = msgspec.structs.replace(newest, end=max(round(now - began, 3), newest.end))
    traced = [TracedSpan(**msgspec.structs.asdict(span), kind=kind_of(span)) for span in cut]
    return Trace(
        id=id,
        spec=spec,
        began=began,
        seconds=cut[-1].end if cut else 0.0,
        phase=last.phase,
        reason=last.reason,
        spans=traced,
        totals=_totals(traced),
        ahead=list(ahead),
    )


def _totals(traced: Iterable[TracedSpan]) -> dict[Kind, float]:
    totals = dict.fromkeys(Kind, 0.0)
    for span in traced:
        totals[span.kind] += span.seconds
    return {kind: round(seconds, 3) for kind, seconds in totals.items()}


# Rows in the viewer, as threads of one process.
_PHASES, _STEPS, _AHEAD = 1, 2, 3


def chrome(trace: Trace) -> dict[str, Any]:
    """Return a trace in the Trace Event Format, for Perfetto and chrome://tracing.

    Times are integers, in microseconds since the launch began.
    """
    events = [_metadata("process_name", f"Launch of {trace.spec}")]
    rows = [(_PHASES, "Phases"), (_STEPS, "Steps")]
    if trace.ahead:
        rows.append((_AHEAD, "At the same time"))
    for thread, name in rows:
        events.append(_metadata("thread_name", name, thread))
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
        members = list(group)
        args: dict[str, Any] = {"attempt": members[0].attempt}
        events.append(_slice(_PHASES, phase, phase, members[0], members[-1], args))
    for span in trace.spans:
        args = {"phase": span.phase, "kind": span.kind, "cached": span.cached}
        name = " · ".join(filter(None, [span.label or span.kind, span.command]))
        events.append(_slice(_STEPS, name, span.kind, span, span, args))
    for done in trace.ahead:
        args = {"saved": done.saved}
        events.append(_slice(_AHEAD, done.label, done.what, done, done, args))
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


def _metadata(key: str, name: str, thread: int = 0) -> dict[str, Any]:
    return {"ph": "M", "name": key, "pid": 1, "tid": thread, "args": {"name": name}}


def _slice(
    thread: int,
    name: str,
    category: str,
    first: Span | DoneAhead,
    last: Span | DoneAhead,
    args: dict[str, Any],
) -> dict[str, Any]:
    start = round(first.start * 1e6)
    event = {"name": name, "cat": category, "pid": 1, "tid": thread, "ts": start, "args": args}
    duration = round(last.end * 1e6) - start
    if not duration:
        # An instant event: after a complete event without duration, speedscope nests the next one.
        return {"ph": "i", "s": "t", **event}
    return {"ph": "X", "dur": duration, **event}
