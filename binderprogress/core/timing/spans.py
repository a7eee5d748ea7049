"""What is kept of a launch that is over: how it ended, and where the time went.

There is nothing in it of who launched: no address, no user, no token.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..events import Event
from ..log.steps import Step
from ..phases import TERMINAL, Phase

__all__ = ["MOST_SPANS", "PastLaunch", "Span", "StepChange", "spans"]

MOST_SPANS = 1000
"""More are not kept of one launch: who owns the repository writes the log, and so the steps."""


class StepChange(msgspec.Struct, frozen=True):
    """The part of an event that `spans` needs, of an event with another step than the one before.

    A log has many lines and few steps: with these, nobody has to read the whole log again.

    Attributes
    ----------
    id : int
        The event's number.
    phase : Phase
    time : float
        Seconds since 1970.
    what : Step
    attempt : int
    """

    id: int
    phase: Phase
    time: float
    what: Step
    attempt: int

    @property
    def step(self) -> str:
        """As the event's."""
        return self.what.label

    @property
    def step_key(self) -> str:
        """As the event's."""
        return self.what.key

    @property
    def step_index(self) -> int:
        """As the event's."""
        return self.what.index

    @property
    def step_total(self) -> int:
        """As the event's."""
        return self.what.total

    @property
    def step_digest(self) -> str:
        """As the event's."""
        return self.what.digest

    @property
    def step_cached(self) -> bool:
        """As the event's."""
        return self.what.cached

    @property
    def terminal(self) -> bool:
        """Whether this ends its launch."""
        return self.phase in TERMINAL


class Span(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stretch of time in which one step of one phase went on.

    Attributes
    ----------
    phase : Phase
    start, end : float
        Seconds since the launch began. Of one launch, each starts where the one before ends.
    step : str
        The step's key; empty where a phase has not named one.
    label : str
        … for people.
    index, total : int
        Of numbered steps, which and of how many; else 0.
    digest : str
        Of numbered steps, the instruction's.
    cached : bool
        Whether its result was there already.
    attempt : int
        Which try.
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

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start


class PastLaunch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A launch that is over.

    Attributes
    ----------
    began : float
        Seconds since 1970.
    provider, repository, ref, commit : str
        What was launched; `repository` is its address. `commit` is empty where nobody said.
    host : str
        Where it was built and started: a BinderHub's or a Hub's address; empty: here.
    image : str
        The image's name; empty where it is none, or not known.
    outcome : Phase
        ready, failed or cancelled.
    reason : str
        Of failed and cancelled, why.
    cold : bool
        Whether the environment had to be made.
    joined : bool
        Whether it waited for a build that another launch had begun.
    image_bytes : int or None
        The size of the image, where known.
    spans : list of Span
        Without gaps, from 0 to its end.
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
        """How long it took."""
        return self.spans[-1].end if self.spans else 0.0

    @property
    def pulled(self) -> float:
        """For how many seconds its image was pulled."""
        return sum(span.seconds for span in self.spans if span.step == "pulling")

    def phase_seconds(self) -> dict[Phase, float]:
        """Return how long each phase took, in their order."""
        found: dict[Phase, float] = {}
        for span in self.spans:
            found[span.phase] = found.get(span.phase, 0.0) + span.seconds
        return found


def spans(events: Iterable[Event | StepChange], *, began: float) -> list[Span]:
    """Say where the time went.

    Parameters
    ----------
    events : iterable of Event or StepChange
        Of one launch, in their order; also of one that is not over. Those that change no step may
        be left out, but for the last one.
    began : float
        When the launch began, in seconds since 1970. What lies before it, in a build that was
        under way, is left out.

    Returns
    -------
    list of Span
        Those of one moment only (a cached step, ``built``) are kept.
    """
    found: list[Span] = []
    for event in events:
        at = max(event.time - began, found[-1].start if found else 0.0)
        if found:
            last = found[-1]
            found[-1] = msgspec.structs.replace(last, end=round(at, 3))
            if _goes_on(last, event) or (len(found) >= MOST_SPANS and last.phase is event.phase):
                if event.step_cached:
                    found[-1] = msgspec.structs.replace(found[-1], cached=True)
                if event.step_total > last.total and _goes_on(last, event):
                    # Layers become known one by one.
                    found[-1] = msgspec.structs.replace(
                        found[-1], label=event.step, total=event.step_total
                    )
                continue
        if event.terminal:
            break
        at = round(at, 3)
        if found and event.time < began:
            # Of a build that was under way, only what it was at counts.
            del found[-1]
        found.append(
            Span(
                event.phase,
                at if found else 0.0,
                at,
                step=event.step_key,
                label=event.step,
                index=event.step_index,
                total=event.step_total,
                digest=event.step_digest,
                cached=event.step_cached,
                attempt=event.attempt,
            )
        )
    return found


def _goes_on(span: Span, event: Event | StepChange) -> bool:
    """Whether an event tells of the same step as the span."""
    return (span.phase, span.step, span.index, span.digest, span.attempt) == (
        event.phase,
        event.step_key,
        event.step_index,
        event.step_digest,
        event.attempt,
    )
