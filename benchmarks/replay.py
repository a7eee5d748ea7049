"""Replays a recorded launch through the parts that a real one goes through."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.events import Event
from binderprogress.core.log.reader import BINDERHUB_PHASES, Normalizer
from binderprogress.core.log.steps import Step
from binderprogress.core.phases import TERMINAL, Phase
from binderprogress.core.timing.estimator import Estimate, Estimator
from binderprogress.core.timing.learning import learn as learn_launch
from binderprogress.core.timing.priors import Expectation, Place, Priors
from binderprogress.core.timing.spans import PastLaunch, spans
from binderprogress.launches.channel_factory import Channels
from binderprogress.launches.event_writer import Clock, Limits, Writer

from .traces import Line, Trace

__all__ = [
    "Question",
    "expected",
    "learn",
    "nothing_known",
    "past",
    "place",
    "replay",
    "seconds_of_cpu",
]

_log = logging.getLogger(__name__)


Question = tuple[Phase, Step | None, float]
"""What an estimator is told: phase, step, and seconds since the launch began."""


class _Heard(Estimator):
    """Writes down what it is told."""

    questions: list[Question]

    def update(self, phase: Phase, step: Step | None, *, now: float) -> Estimate:
        self.questions.append((phase, step, now))
        return super().update(phase, step, now=now)


def seconds_of_cpu(questions: list[Question], expectation: Callable[[], Expectation]) -> float:
    """Return the processor's time that all estimates of a launch take, one after the other.

    It is the least of twenty times: what else runs on the machine makes all slower.
    """
    taken = []
    for _ in range(20):
        began = time.process_time()
        estimator = Estimator(now=0.0, expectation=expectation())
        for phase, step, now in questions:
            estimator.update(phase, step, now=now)
        taken.append(time.process_time() - began)
    return min(taken)


def place(trace: Trace) -> Place:
    """Return what the trace is a launch of."""
    header = trace.header
    return Place(header.host, header.repository, header.commit or header.spec)


def nothing_known(trace: Trace) -> Expectation:
    """Return what is expected of it where there is no history."""
    return expected(None, trace)


def expected(knowledge: Priors | None, trace: Trace) -> Expectation:
    """Return what is expected of it."""
    header = trace.header
    return Expectation(knowledge, place(trace), header.typical, first_start=header.first_start)


def replay(
    trace: Trace, expectation: Expectation, questions: list[Question] | None = None
) -> list[Event]:
    """Return the events that its viewers would have got; what the estimator heard is added."""
    now = 0.0
    estimator = _Heard(now=0.0, expectation=expectation)
    estimator.questions = [] if questions is None else questions
    channel = Channels(MemoryChannelStore()).make()
    writer = Writer(
        channel,
        clock=Clock(monotonic=lambda: now, utc=lambda: trace.header.began + now),
        began=0.0,
        began_utc=trace.header.began,
        estimator=estimator,
        limits=Limits(),
    )
    # As `launches.build` and `launches.manager` begin a build and a spawn.
    writer.append(Phase.WAITING, step=Step("looking", ""))
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
    return [encoded.event for encoded in channel.unstored]


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


def learn(knowledge: Priors, traces: list[Trace]) -> None:
    """Add launches to what is known."""
    for trace in traces:
        header = trace.header
        ended = past(trace, replay(trace, nothing_known(trace)))
        learn_launch(knowledge, ended, header.typical, first_start=header.first_start)


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
            begins = Step("requested", "") if step is Phase.LAUNCHING else None
            writer.append(step, step=begins)
        if step is phase:
            return
