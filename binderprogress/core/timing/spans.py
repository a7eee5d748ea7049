"""Spans, and the record of a finished launch.

The record contains nothing about the user who launched: no address, no name, no token.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..events import Event
from ..log.steps import STANDBY, Step
from ..phases import TERMINAL, Phase

__all__ = ["MOST_SPANS", "PastLaunch", "Span", "StepChange", "spans"]

MOST_SPANS = 1000
"""Maximum number of spans of one launch.

Attack: the owner of the repository writes the log, and so decides how many steps there are.
"""


class StepChange(msgspec.Struct, frozen=True):
    """The fields of an event that `spans` needs, for an event that begins another step.

    A log has many lines and few steps. With these, `spans` need not read all events.

    Attributes
    ----------
    id : int
        The event's number.
    phase : Phase
    time : float
        Seconds since 1970.
    new_step : Step
    attempt : int
    """

    id: int
    phase: Phase
    time: float
    new_step: Step
    attempt: int

    @property
    def step(self) -> str:
        """As the event's."""
        return self.new_step.label

    @property
    def step_key(self) -> str:
        """As the event's."""
        return self.new_step.key

    @property
    def step_index(self) -> int:
        """As the event's."""
        return self.new_step.index

    @property
    def step_total(self) -> int:
        """As the event's."""
        return self.new_step.total

    @property
    def step_digest(self) -> str:
        """As the event's."""
        return self.new_step.digest

    @property
    def step_cached(self) -> bool:
        """As the event's."""
        return self.new_step.cached

    @property
    def step_command(self) -> str:
        """As the event's."""
        return self.new_step.command

    @property
    def terminal(self) -> bool:
        """Whether this ends its launch."""
        return self.phase in TERMINAL


class Span(msgspec.Struct, frozen=True, omit_defaults=True):
    """The time that one step of a phase took.

    Attributes
    ----------
    phase : Phase
    start, end : float
        Seconds since the launch began. Each span starts where the previous one ends.
    step : str
        The step's key; empty before the first step of a phase.
    label : str
        The step's label.
    index, total : int
        The number of a numbered step, and how many there are; else 0.
    digest : str
        The digest of a numbered step's instruction.
    cached : bool
        Whether the result of the step was cached.
    attempt : int
        Number of the attempt to start a server.
    command : str
        What a numbered step does, shortened. The owner of the repository wrote it.
    """

    phase: Phase
    start: float
    end: float
    step: str = ""
    label: str = ""
    index: int = 0
    total: int = 0
    digest: str = ""
    cached: bool = False
    attempt: int = 1
    command: str = ""

    @property
    def seconds(self) -> float:
        """The duration."""
        return self.end - self.start

    @property
    def is_place(self) -> bool:
        """Whether it was in the queue of builds."""
        return self.step == "queued" and self.total > 0


class PastLaunch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A finished launch.

    Attributes
    ----------
    began : float
        Seconds since 1970.
    provider, repository, ref, commit : str
        What was launched. `repository` is its address. `commit` is empty if it is not known.
    host : str
        Address of the BinderHub or JupyterHub that launched it; empty: this server.
    image : str
        Name of the image; empty if there is none, or it is not known.
    outcome : Phase
        ready, failed or cancelled.
    reason : str
        Reason of a failed or cancelled launch.
    cold : bool
        Whether the environment had to be built.
    joined : bool
        Whether it joined a build that another launch had begun.
    image_bytes : int or None
        Size of the image, if known.
    spans : list of Span
        Without gaps, from 0 to the end of the launch.
    """

    began: float
    provider: str
    repository: str
    ref: str = ""
    commit: str = ""
    host: str = ""
    image: str = ""
    outcome: Phase
    reason: str = ""
    cold: bool = False
    joined: bool = False
    image_bytes: int | None = None
    spans: list[Span] = []

    @property
    def seconds(self) -> float:
        """The duration."""
        return self.spans[-1].end if self.spans else 0.0

    @property
    def took_standby(self) -> bool:
        """Whether it took a server that stood ready, instead of having one started."""
        return any(span.step == STANDBY.key for span in self.spans)

    @property
    def pulled(self) -> float:
        """Seconds that pulling the image took."""
        return sum(span.seconds for span in self.spans if span.step == "pulling")

    def phase_seconds(self) -> dict[Phase, float]:
        """Return the duration of each phase in seconds, in the order of the phases."""
        totals: dict[Phase, float] = {}
        for span in self.spans:
            totals[span.phase] = totals.get(span.phase, 0.0) + span.seconds
        return totals


def spans(events: Iterable[Event | StepChange], *, began: float) -> list[Span]:
    """Divide the time of a launch into spans.

    Parameters
    ----------
    events : iterable of Event or StepChange
        The events of one launch in their order. The launch need not have ended. Events that do not
        change the step may be omitted, except the last one.
    began : float
        When the launch began, in seconds since 1970. The earlier part of a build that it joined
        is ignored.

    Returns
    -------
    list of Span
        It includes spans without duration, such as a cached step or ``built``.
    """
    result: list[Span] = []
    for event in events:
        at = max(event.time - began, result[-1].start if result else 0.0)
        if result:
            last = result[-1]
            result[-1] = msgspec.structs.replace(last, end=round(at, 3))
            if _continues(last, event) or (len(result) >= MOST_SPANS and last.phase is event.phase):
                if event.step_cached:
                    result[-1] = msgspec.structs.replace(result[-1], cached=True)
                if event.step_total > last.total and _continues(last, event):
                    # The number of layers grows while they are named.
                    result[-1] = msgspec.structs.replace(
                        result[-1], label=event.step, total=event.step_total
                    )
                continue
        if event.terminal:
            break
        at = round(at, 3)
        if result and event.time < began:
            # Of a build that was joined, only its step at that time counts.
            del result[-1]
        result.append(
            Span(
                event.phase,
                at if result else 0.0,
                at,
                step=event.step_key,
                label=event.step,
                index=event.step_index,
                total=event.step_total,
                digest=event.step_digest,
                cached=event.step_cached,
                attempt=event.attempt,
                command=event.step_command,
            )
        )
    return result


def _continues(span: Span, event: Event | StepChange) -> bool:
    """Whether an event belongs to the step of the span."""
    return (span.phase, span.step, span.index, span.digest, span.attempt) == (
        event.phase,
        event.step_key,
        event.step_index,
        event.step_digest,
        event.attempt,
    )
