"""Appends notes to a channel as numbered events, with time, progress and estimate."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from ..backends.base import Attempt
from ..core.events import Encoded, Event
from ..core.log.diagnosis import Diagnosis, diagnose, diagnosis_of
from ..core.log.lines import shortened
from ..core.log.reader import Note
from ..core.log.reasons import REASONS, RULES, RuleSet
from ..core.log.steps import Step
from ..core.phases import TERMINAL, TRANSITIONS, Phase, check_transition
from ..core.redact import redact
from ..core.timing.estimator import Estimator
from ..core.timing.spans import MOST_SPANS, StepChange
from ..errors import LaunchFailedError
from .channel import Channel
from .limits import Clock, Limits

__all__ = ["Clock", "Limits", "Writer"]

# Maximum number of last lines that are searched for the reason of a failure.
_TAIL = 400
# Maximum characters of these lines. Attack: many builds at once, all with the longest lines.
_TAIL_CHARACTERS = 64 * 1024
# If all lines are this short, they cannot exceed _TAIL_CHARACTERS.
_SHORT = _TAIL_CHARACTERS // _TAIL
# Attack: a log that consists of steps. `spans` uses MOST_SPANS changes. Launches that join late
# need some more.
_MOST_CHANGES = 2 * MOST_SPANS
# Failures of which nothing is known but the exit code of a process.
_UNKNOWN = {"unknown", "build-failed"}
# Reasons that say how a launch failed, but not why.
_SYMPTOMS = {*_UNKNOWN, "spawn-failed", "start-timeout", "server-did-not-answer", "no-node"}
# Events that are decoded at once.
_REPLAYED = 500
_ENDS = TERMINAL | {Phase.BUILT}
_NO_STEP = Step("", "")


class Writer:
    """Appends notes to one channel.

    Parameters
    ----------
    channel : Channel
    clock : Clock
    began, began_utc : float
        When the build or launch began, in monotonic seconds and in seconds since 1970. Times of
        events are computed from these, so that they match the curves even if the clock is set.
    estimator : Estimator
    limits : Limits
    rules : RuleSet
        What recognises why a launch failed.
    phase : Phase or None
        The phase before the channel's first event.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        clock: Clock,
        began: float,
        began_utc: float,
        estimator: Estimator,
        limits: Limits,
        rules: RuleSet = RULES,
        phase: Phase | None = None,
    ) -> None:
        self.channel = channel
        self.clock = clock
        self.began = began
        self.began_utc = began_utc
        self.estimator = estimator
        self.limits = limits
        self.rules = rules
        self.phase = phase
        self.attempt = 1
        """The attempt that events show. Those to build count, too, so it never decreases."""
        self.first_attempt = 1
        """The attempt of the first event of this channel."""
        self.changes: list[StepChange] = []
        """Changes of phase and step, for `core.timing.spans`. The last event is not included."""
        self.is_cut = False
        """Whether the rest of the log is dropped because memory is short."""
        self.step = _NO_STEP
        """The current step."""
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._tail_size = 0
        self._short = min(_SHORT, limits.line)
        self._written = 0
        self._lines = 0
        self._steps_shown = 0
        self._elided = 0
        self._pod = ""
        self._problem: dict[str, Any] = {}

    def write(self, note: Note, *, log: logging.Logger | logging.LoggerAdapter[Any]) -> None:
        """Append a note, within the limits."""
        if note.traceback:
            log.debug("A source's traceback:\n%s", note.traceback)
        message = note.message
        if note.pod:
            self._begin_pod(note.pod)
        is_long = len(message) > self._short
        if is_long:
            message = shortened(message, self.limits.line, " in the full log")
        self._tail.append(message)
        if is_long:
            self._shorten_tail(len(message))
        phase = note.phase
        # Notes of an earlier phase are shown in the current phase. A log cannot end the launch.
        if phase is not self.phase and (phase not in TRANSITIONS[self.phase] or phase in _ENDS):
            phase = None
        if self._within_log(message):
            source = None if note.source is None else self._within_line_of_source(note.source)
            self.append(phase or self.phase or Phase.WAITING, message, note.step, source=source)
        elif self._is_progress(phase, note.step):
            self.append(phase or self.phase or Phase.WAITING, step=note.step)

    def append(
        self,
        phase: Phase,
        message: str = "",
        step: Step | None = None,
        *,
        source: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Encoded:
        """Append an event.

        Parameters
        ----------
        phase : Phase
        message : str
        step : Step or None
            None continues the current step.
        source : dict or None
            Further data of the source.
        fields
            More fields of the event, which override those set here.

        Raises
        ------
        IllegalTransitionError
            If the phase cannot follow the previous one. Nothing is changed.
        """
        changed = phase is not self.phase
        if changed or phase in TERMINAL:
            check_transition(self.phase, phase)
        if changed:
            self.step = _NO_STEP
        if step is not None:
            changed = changed or step != self.step
            self.step = step
        if self._problem:
            fields = {**self._problem, **fields}
        event = self._event(phase, message, step, source)
        encoded = self.channel.append(msgspec.structs.replace(event, **fields) if fields else event)
        if changed and (phase is not self.phase or len(self.changes) < _MOST_CHANGES):
            self.changes.append(StepChange(event.id, phase, event.time, self.step, self.attempt))
        self.phase = phase
        return encoded

    def _event(
        self, phase: Phase, message: str, step: Step | None, source: dict[str, Any] | None
    ) -> Event:
        """Return the next event, in the current step. The estimator gets the new `step` only."""
        now = self.clock.monotonic()
        estimate = self.estimator.update(phase, step, now=now)
        elapsed = now - self.began
        current = self.step
        return Event(
            id=self.channel.written + 1,
            phase=phase,
            # To the millisecond. `round` takes several times as long.
            time=int((self.began_utc + elapsed) * 1000 + 0.5) / 1000,
            elapsed=int(elapsed * 1000 + 0.5) / 1000,
            message=message,
            step=current.label,
            step_key=current.key,
            step_index=current.index,
            step_total=current.total,
            step_digest=current.digest,
            step_cached=current.cached,
            step_command=current.command,
            progress=estimate.progress,
            curve=estimate.curve,
            eta=estimate.eta,
            eta_low=estimate.low,
            eta_high=estimate.high,
            eta_latest=estimate.latest,
            eta_late=estimate.late,
            attempt=self.attempt,
            source=source,
        )

    async def replay_all(self, each: Callable[[Event], None] = lambda _: None) -> None:
        """Take over the events that an earlier writer has appended to the channel.

        Parameters
        ----------
        each : callable, optional
            Called with each event.

        Raises
        ------
        StorageError
            If they cannot be read.
        """
        after = self.channel.first - 1
        while events := await self.channel.read(after, limit=_REPLAYED):
            for encoded in events:
                event = encoded.event
                self._replay(event)
                each(event)
            after = events[-1].id
            # A log may have 100,000 lines.
            await asyncio.sleep(0)

    def _replay(self, event: Event) -> None:
        if self.phase is None:
            self.attempt = self.first_attempt = event.attempt
        step = Step(
            key=event.step_key,
            label=event.step,
            index=event.step_index,
            total=event.step_total,
            cached=event.step_cached,
            digest=event.step_digest,
            command=event.step_command,
        )
        now = self.began + event.elapsed
        if event.attempt != self.attempt:
            self._tail.clear()
        if (event.phase, step, event.attempt) != (self.phase, self.step, self.attempt):
            if event.phase is not self.phase or len(self.changes) < _MOST_CHANGES:
                change = StepChange(event.id, event.phase, event.time, step, event.attempt)
                self.changes.append(change)
            self.estimator.update(event.phase, step if step.key else None, now=now)
        if event.curve is not None:
            self.estimator.hold(event.curve, began=now)
        self.phase, self.step, self.attempt = event.phase, step, event.attempt
        self._tail.append(event.message)
        self._shorten_tail(len(event.message))
        self._written += len(event.message)
        self._lines += bool(event.message)

    def restore(self, changes: list[StepChange], last: Event | None) -> None:
        """Take over where the time went in a channel that has ended, without its events.

        Parameters
        ----------
        changes : list of StepChange
        last : Event or None
            The last event.
        """
        self.changes = changes
        phase = None
        for change in changes:
            # Its launches go on with these. The steps of a phase that is over do not matter.
            if change.phase is not phase:
                phase = change.phase
                now = self.began + change.time - self.began_utc
                self.estimator.update(phase, None, now=now)
        if last is not None:
            self.phase, self.attempt = last.phase, last.attempt
            if last.curve is not None:
                self.estimator.hold(last.curve, began=self.began + last.elapsed)

    def try_again(self, attempt: Attempt) -> Encoded:
        """Append an event for the next attempt, with its reason."""
        # A build that is started again after a restart counts its own attempts from 1, and a
        # launcher begins at 1 whatever the build needed.
        number = attempt.number + self.first_attempt - 1
        self.attempt = max(number, self.attempt + 1)
        # The output of the previous attempt does not explain a failure of this one.
        self._tail.clear()
        self._problem = {}
        # The attempt may start with the same step, which then counts as a new one.
        self.step = _NO_STEP
        return self.append(
            self.phase or Phase.WAITING,
            f"{redact(attempt.message)}\n{attempt.step.label} (attempt {self.attempt}).\n",
            attempt.step,
        )

    async def fail(
        self, error: LaunchFailedError, *, log: logging.Logger | logging.LoggerAdapter[Any]
    ) -> None:
        """Append a failure as the last event, and end the channel.

        If the launch is cancelled meanwhile, nothing is appended.
        """
        try:
            diagnosis = await self._diagnosed(error)
        except Exception:  # such as if no thread can be started; viewers must see an end
            log.exception("A failure cannot be diagnosed")
            diagnosis = diagnosis_of(error)
        if self.channel.ended:
            return
        self.end(Phase.FAILED, redact(diagnosis.message) + "\n", **_fields(diagnosis))

    def show_problem(self, diagnosis: Diagnosis | None) -> None:
        """Tell viewers what keeps the server from starting; None: nothing does.

        Each event says so until it is over, so that viewers who come later see it, too.
        """
        self._problem = {}
        if diagnosis is None or self.channel.ended:
            return
        problem = redact(diagnosis.message)
        self._problem = {"problem": problem, **_fields(diagnosis)}
        self.append(
            self.phase or Phase.LAUNCHING, f"{problem} JupyterHub still tries to start it.\n"
        )

    async def _diagnosed(self, error: LaunchFailedError) -> Diagnosis:
        """Look in the log for the cause of an error that does not name one."""
        diagnosis = diagnosis_of(error)
        if error.reason not in _SYMPTOMS and self.phase is not Phase.LAUNCHING:
            return diagnosis
        log, kind = list(self._tail), ""
        if self.phase is Phase.LAUNCHING:
            # A spawn ends with a message about time; the events before it say what it waited for.
            log.append(str(error))
            kind = "spawn"
        # Whoever owns the repository writes the log. Reading it must not hold up other launches.
        cause = await asyncio.to_thread(
            diagnose, log, otherwise=error.reason, kind=kind, rules=self.rules
        )
        is_same = cause.reason == error.reason
        if error.reason not in _SYMPTOMS and not (is_same and cause.rule):
            return diagnosis
        if error.reason in _UNKNOWN or (cause.rule and not is_same):
            return cause
        # The error has the better sentence, and the log the lines that show why.
        return msgspec.structs.replace(diagnosis, evidence=cause.evidence)

    def cancel(self, reason: str) -> None:
        """Append a cancellation as the last event, and end the channel."""
        self.end(Phase.CANCELLED, REASONS[reason].sentence + "\n", reason=reason)

    def end(self, phase: Phase, message: str, **fields: Any) -> None:
        """Append the last event and end the channel."""
        self._problem = {}
        if self._elided:
            note = f"[{self._elided:,} lines are left out here; the full log has them.]\n"
            self._elided = 0
            self.append(self.phase or Phase.WAITING, note)
        self.append(phase, message, **fields)
        self.channel.end()
        self._tail.clear()

    @property
    def own_attempt(self) -> int:
        """The attempt, counted from 1 in this channel."""
        return self.attempt - self.first_attempt + 1

    @property
    def size(self) -> int:
        """Approximate memory of the channel in bytes."""
        return self.channel.size

    def cut(self) -> None:
        """Drop the rest of the log, because memory is short."""
        if self.is_cut:
            return
        self.is_cut = True
        self._steps_shown = self.limits.steps
        if not self._elided and not self.channel.ended:
            self._elide("[This server has no room for more of this log")

    def _begin_pod(self, pod: str) -> None:
        """Note which pod the next lines are about; those about an earlier one do not count."""
        if self._pod and pod != self._pod:
            self._tail.clear()
        self._pod = pod

    def _within_line_of_source(self, source: dict[str, Any]) -> dict[str, Any]:
        """Return the data of a source, or its size if it is longer than a line may be."""
        size = len(msgspec.json.encode(source))
        self._written += size
        return source if size <= self.limits.line else {"elided": size}

    def _is_progress(self, phase: Phase | None, step: Step | None) -> bool:
        """Whether a note is shown even when the log is cut."""
        if phase not in {None, self.phase}:
            return True
        if step is None or step == self.step or self._steps_shown >= self.limits.steps:
            # Attack: a log that consists of steps.
            return False
        self._steps_shown += 1
        return True

    def _within_log(self, message: str) -> bool:
        if self._elided or self.is_cut:
            self._elided += 1
            return False
        self._written += len(message)
        self._lines += 1
        if self._written <= self.limits.log and self._lines <= self.limits.lines:
            return True
        self._elide("[The log is too long to be shown")
        self._elided = 1
        return False

    def _elide(self, why: str) -> None:
        note = f"{why}; from here on only the full log has it all.]\n"
        self.append(self.phase or Phase.WAITING, note)

    def _shorten_tail(self, more: int) -> None:
        # An upper bound: it includes lines that the deque has dropped.
        self._tail_size += more
        if self._tail_size <= _TAIL_CHARACTERS:
            return
        size = sum(map(len, self._tail))
        if size > _TAIL_CHARACTERS:
            # Remove a quarter, so that the sum is not computed for each line.
            while size > _TAIL_CHARACTERS * 3 // 4 and len(self._tail) > 1:
                size -= len(self._tail.popleft())
        self._tail_size = size


def _fields(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the fields of an event that say why a launch fails."""
    # Errors contain addresses, and an address may contain a password.
    return {
        "reason": diagnosis.reason,
        "subject": redact(diagnosis.subject),
        "advice": redact(diagnosis.advice),
        "evidence": [redact(line) for line in diagnosis.evidence],
        "fault": diagnosis.fault,
        "retry": diagnosis.retry,
        "file": diagnosis.file,
        "line": diagnosis.line,
    }
