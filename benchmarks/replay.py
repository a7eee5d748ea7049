"""Replays a recorded launch through the parts that a real one goes through."""

from __future__ import annotations

import logging
import time

from binderprogress.channels.memory import MemoryChannel
from binderprogress.core.estimate import Estimate, Estimator
from binderprogress.core.events import Event
from binderprogress.core.knowledge import Expectation, Knowledge, Place
from binderprogress.core.normalize import BINDERHUB_PHASES, Normalizer
from binderprogress.core.past import PastLaunch, spans
from binderprogress.core.phases import TERMINAL, Phase
from binderprogress.core.steps import Step
from binderprogress.launches.writer import Clock, Limits, Writer

from .traces import Line, Trace

__all__ = ["Timed", "learn", "past", "place", "replay"]

_log = logging.getLogger(__name__)


class Timed(Estimator):
    """Counts the seconds that its answers take."""

    taken = 0.0
    asked = 0

    def update(self, phase: Phase, step: Step | None, *, now: float) -> Estimate:
        began = time.thread_time()
        estimate = super().update(phase, step, now=now)
        Timed.taken += time.thread_time() - began
        Timed.asked += 1
        return estimate


def place(trace: Trace) -> Place:
    """Return what the trace is a launch of."""
    header = trace.header
    return Place(header.host, header.repository, header.commit or header.spec)


def replay(trace: Trace, expectation: Expectation) -> list[Event]:
    """Return the events that its viewers would have got."""
    now = 0.0
    channel = MemoryChannel()
    writer = Writer(
        channel,
        clock=Clock(monotonic=lambda: now, utc=lambda: trace.header.began + now),
        began=0.0,
        began_utc=trace.header.began,
        estimator=Timed(now=0.0, expectation=expectation),
        limits=Limits(),
    )
    writer.append(Phase.WAITING)
    normalizer = Normalizer()
    for line in trace.lines:
        now = line.t
        phase = _phase(line)
        if phase is Phase.LAUNCHING or phase is Phase.READY:
            _go_on_to(writer, Phase.LAUNCHING)
        elif phase is Phase.BUILT and writer.phase is not Phase.BUILT:
            _go_on_to(writer, Phase.BUILT)
        if phase in TERMINAL:
            break
        if phase is Phase.BUILT:
            continue
        note = normalizer.read(line.as_record())
        if note is not None:
            writer.write(note, log=_log)
    writer.end(phase if phase is Phase.READY else Phase.FAILED, "")
    return [encoded.event for encoded in channel.read(0, limit=channel.last)]


def past(trace: Trace, events: list[Event]) -> PastLaunch:
    """Return what is kept of it."""
    found = spans(events, began=trace.header.began)
    return PastLaunch(
        began=trace.header.began,
        provider=trace.header.spec.partition("/")[0],
        repository=trace.header.repository,
        commit=trace.header.commit or trace.header.spec,
        host=trace.header.host,
        outcome=events[-1].phase,
        cold=any(span.phase is Phase.BUILDING and span.step != "reused" for span in found),
        spans=found,
    )


def learn(knowledge: Knowledge, traces: list[Trace]) -> None:
    """Add launches to what is known."""
    for trace in traces:
        nothing = Expectation(None, Place(), trace.header.typical)
        knowledge.add(past(trace, replay(trace, nothing)))


def _phase(line: Line) -> Phase | None:
    """Return what a record says of how the launch goes on, beyond its log."""
    record = line.record
    if not isinstance(record, dict):
        return None
    if line.source == "jupyterhub":
        if record.get("ready") is True:
            return Phase.READY
        return Phase.FAILED if record.get("failed") is True else Phase.LAUNCHING
    return BINDERHUB_PHASES.get(str(record.get("phase", "")).lower())


def _go_on_to(writer: Writer, phase: Phase) -> None:
    for step in (Phase.BUILT, Phase.LAUNCHING):
        if writer.phase is not step and writer.phase is not Phase.LAUNCHING:
            writer.append(step)
        if step is phase:
            return
