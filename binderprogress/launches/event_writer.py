"""Writes notes into a channel as events: numbered, timed, with the bar's place in each."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from ..backends.base import Attempt
from ..core.events import Encoded, Event
from ..core.log.diagnosis import Diagnosis, diagnose
from ..core.log.reader import Note
from ..core.log.reasons import REASONS
from ..core.log.steps import Step
from ..core.phases import TERMINAL, TRANSITIONS, Phase, check_transition
from ..core.redact import redact
from ..core.timing.estimator import Estimator
from ..core.timing.spans import MOST_SPANS, StepChange
from ..errors import LaunchFailedError
from .channel import Channel

__all__ = ["Clock", "Limits", "Writer"]

# As many of the last lines are searched for the reason of a failure,
_TAIL = 400
# … and as many characters. Attack: the longest lines, in each of many builds at once.
_TAIL_CHARACTERS = 64 * 1024
# Lines that are shorter cannot be more than that.
_SHORT = _TAIL_CHARACTERS // _TAIL
# Attack: a log that is nothing but steps. As many changes are kept as `spans` looks at, and some
# more for launches that join late.
_MOST_CHANGES = 2 * MOST_SPANS
# A failure that was only found to be one by its process's exit code.
_UNTOLD = {"unknown", "build-failed"}
_ENDS = TERMINAL | {Phase.BUILT}
_NO_STEP = Step("", "")


class Clock(msgspec.Struct, frozen=True):
    """Where the time comes from.

    Attributes
    ----------
    monotonic, utc : callable
        Seconds: ones that never jump, and since 1970.
    """

    monotonic: Callable[[], float] = time.monotonic
    utc: Callable[[], float] = time.time


class Limits(msgspec.Struct, frozen=True):
    """What is too much for a stream; the full log has it all.

    Attributes
    ----------
    line : int
        Characters of one line.
    log : int
        Characters of all lines of one build.
    lines : int
        All lines of one build, since the shortest takes a kilobyte of memory as an event.
    steps : int
        Steps that are told when there are no more lines.
    """

    line: int = 4096
    log: int = 8 * 2**20
    lines: int = 100_000
    steps: int = 1000


class Writer:
    """Appends what notes say to one channel.

    Parameters
    ----------
    channel : Channel
    clock : Clock
    began, began_utc : float
        When the build or launch began, in monotonic seconds and in seconds since 1970. Events get
        their time from these, so that it fits their curves however the clock is set meanwhile.
    estimator : Estimator
    limits : Limits
    phase : Phase or None
        That of the event before the channel's first.
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
        phase: Phase | None = None,
    ) -> None:
        self.channel = channel
        self.clock = clock
        self.began = began
        self.began_utc = began_utc
        self.estimator = estimator
        self.limits = limits
        self.phase = phase
        self.attempt = 1
        self.changes: list[StepChange] = []
        """What `core.past.spans` needs of the channel's events, but for the last one."""
        self.is_cut = False
        """Whether no more lines of the log are taken for want of memory."""
        self._step = _NO_STEP
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._tail_size = 0
        self._short = min(_SHORT, limits.line)
        self._written = 0
        self._lines = 0
        self._steps_told = 0
        self._elided = 0

    def write(self, note: Note, *, log: logging.Logger | logging.LoggerAdapter[Any]) -> None:
        """Append one note, as far as the limits allow it."""
        if note.traceback:
            log.debug("A source's traceback:\n%s", note.traceback)
        message = note.message
        self._tail.append(message[: self.limits.line])
        if len(message) > self._short:
            self._shorten_tail(len(self._tail[-1]))
            if len(message) > self.limits.line:
                message = self._within_line(message)
        phase = note.phase
        # An earlier phase does not come back: what is said of it is told under the present one. And
        # how it ends is for the source's end to say, not for its log.
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
            None: the present one goes on.
        source : dict or None
            What the source said beyond this.
        fields
            More fields of the event; they count more than what is known here.

        Raises
        ------
        IllegalTransitionError
            If the phase cannot follow the one before; nothing is changed.
        """
        check_transition(self.phase, phase)
        now = self.clock.monotonic()
        changed = False
        if phase is not self.phase:
            self._step = _NO_STEP
            changed = True
        if step is None:
            shown = self._step
        else:
            changed = changed or step != self._step
            self._step = shown = step
        estimate = self.estimator.update(phase, step, now=now)
        elapsed = now - self.began
        event = Event(
            id=self.channel.written + 1,
            phase=phase,
            # To the millisecond; `round` takes several times as long.
            time=int((self.began_utc + elapsed) * 1000 + 0.5) / 1000,
            elapsed=int(elapsed * 1000 + 0.5) / 1000,
            message=message,
            step=shown.label,
            step_key=shown.key,
            step_index=shown.index,
            step_total=shown.total,
            step_digest=shown.digest,
            step_cached=shown.cached,
            progress=estimate.progress,
            curve=estimate.curve,
            eta=estimate.eta,
            eta_low=estimate.low,
            eta_high=estimate.high,
            eta_late=estimate.late,
            attempt=self.attempt,
            source=source,
        )
        encoded = self.channel.append(msgspec.structs.replace(event, **fields) if fields else event)
        if changed and (phase is not self.phase or len(self.changes) < _MOST_CHANGES):
            self.changes.append(StepChange(event.id, phase, event.time, shown, self.attempt))
        self.phase = phase
        return encoded

    def try_again(self, attempt: Attempt) -> Encoded:
        """Append that another attempt begins, and why."""
        self.attempt = attempt.number
        # What the one before printed is not why this one fails.
        self._tail.clear()
        # It may begin with the same step, which is another one now.
        self._step = _NO_STEP
        return self.append(
            self.phase or Phase.WAITING,
            f"{redact(attempt.message)}\n{attempt.step.label} (attempt {attempt.number}).\n",
            attempt.step,
        )

    async def fail(self, error: LaunchFailedError) -> None:
        """Append the end of what went wrong, and end the channel.

        If the channel ends meanwhile, by a launch that is cancelled, it stays as it is.
        """
        found = Diagnosis(error.reason, error.subject, str(error), error.advice, [])
        if error.reason in _UNTOLD:
            # The log is a stranger's; what reading it takes is not to hold up everybody else.
            found = await asyncio.to_thread(diagnose, list(self._tail), otherwise=error.reason)
        if self.channel.ended:
            return
        # Errors repeat addresses, and an address may have a password.
        self.end(
            Phase.FAILED,
            redact(found.message) + "\n",
            reason=found.reason,
            subject=redact(found.subject),
            advice=redact(found.advice),
            evidence=[redact(line) for line in found.evidence],
        )

    def cancel(self, reason: str) -> None:
        """Append the end of what was called off, and end the channel."""
        self.end(Phase.CANCELLED, REASONS[reason].sentence + "\n", reason=reason)

    def end(self, phase: Phase, message: str, **fields: Any) -> None:
        """Append the last event and end the channel."""
        if self._elided:
            left_out = f"[{self._elided:,} lines are left out here; the full log has them.]\n"
            self._elided = 0
            self.append(self.phase or Phase.WAITING, left_out)
        self.append(phase, message, **fields)
        self.channel.end()
        self._tail.clear()

    @property
    def size(self) -> int:
        """About how many bytes of memory the channel takes."""
        return self.channel.size

    def cut(self) -> None:
        """Take no more lines of the log: there is no memory for them."""
        if self.is_cut:
            return
        self.is_cut = True
        self._steps_told = self.limits.steps
        if not self._elided and not self.channel.ended:
            self._elide("[This server has no room for more of this log")

    def _within_line(self, message: str) -> str:
        text = message.rstrip("\r\n")
        more = len(text) - self.limits.line
        if more <= 0:
            return message
        end = message[len(text) :] or "\n"
        return f"{text[: self.limits.line]}… [{more:,} more characters in the full log]{end}"

    def _within_line_of_source(self, source: dict[str, Any]) -> dict[str, Any]:
        """Return what a source says beside its message, unless it is more than a line may be."""
        size = len(msgspec.json.encode(source))
        self._written += size
        return source if size <= self.limits.line else {"elided": size}

    def _is_progress(self, phase: Phase | None, step: Step | None) -> bool:
        """Whether there is something to tell even when no more lines are."""
        if phase not in {None, self.phase}:
            return True
        if step is None or step == self._step or self._steps_told >= self.limits.steps:
            # Attack: a log that is nothing but steps.
            return False
        self._steps_told += 1
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
        self.append(
            self.phase or Phase.WAITING,
            f"{why}; from here on only the full log has it all.]\n",
        )

    def _shorten_tail(self, more: int) -> None:
        # At most: lines that the deque has dropped meanwhile are counted, too.
        self._tail_size += more
        if self._tail_size <= _TAIL_CHARACTERS:
            return
        size = sum(map(len, self._tail))
        if size > _TAIL_CHARACTERS:
            # By a quarter, or it would be summed up again with the next line.
            while size > _TAIL_CHARACTERS * 3 // 4 and len(self._tail) > 1:
                size -= len(self._tail.popleft())
        self._tail_size = size
