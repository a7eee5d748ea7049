"""A BinderHub's ``/build/`` stream: what its records say, and our events made of them.

``js/src/binderhub/binderhub-events.ts`` does the same in the browser.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from ...errors import LaunchFailedError
from ..events import Event, is_http_url
from ..log.diagnosis import Diagnosis, diagnose
from ..log.reader import BINDERHUB_PHASES, LogReader, clean, from_binderhub
from ..log.reasons import REASONS, failure
from ..log.steps import Step
from ..phases import Phase
from ..redact import redact_address, without_credentials
from ..timing.estimator import Estimator

__all__ = [
    "LONGEST_FIELD",
    "PHASES_BEFORE_LAUNCH",
    "SPAWN_PHASES",
    "TYPICAL",
    "BinderHubLaunch",
    "fields_of",
    "message_of",
    "phase_of",
    "read_record",
    "reason_of_status",
    "server_of",
]

PHASES_BEFORE_LAUNCH = frozenset(
    {None, Phase.WAITING, Phase.FETCHING, Phase.BUILDING, Phase.PUSHING}
)
"""The phases of a build, and what names none: who asks again joins it, and hears them again."""

SPAWN_PHASES = frozenset({Phase.BUILT, Phase.LAUNCHING, Phase.READY})
"""In these a server was asked for: who asks again gets another one."""

TYPICAL: Mapping[Phase, float] = {
    Phase.WAITING: 3.0,
    Phase.FETCHING: 4.0,
    Phase.BUILDING: 120.0,
    Phase.PUSHING: 20.0,
    Phase.LAUNCHING: 15.0,
}
"""Seconds per phase."""

LONGEST_FIELD = 4096
"""Characters of a field of `ready`; what is longer is left out."""

# Of `ready`: what the hub knows and we do not.
_FIELDS = (
    "image",
    "repo_url",
    "binder_ref_url",
    "binder_launch_host",
    "binder_request",
    "binder_persistent_request",
    "binder_client_ip",
)
_ADDRESSES = {"repo_url", "binder_ref_url", "binder_launch_host"}
_RUNNING_SCHEMES = {"javascript", "vbscript", "data", "blob", "filesystem", "view-source"}
# What only an HTTP status says, where its sentence says no more.
_STATUSES = {403: "refused", 429: "rate-limited"}
# As many of the last messages are searched for the reason of a failure.
_TAIL = 400
_LONGEST_LINE = 4096
# Attack: a hub that never stops. All events are kept.
_MOST_LINES = 100_000
_MOST_CHARACTERS = 64 * 2**20
_ORDER = list(Phase)
_LEFT = "Stopped watching the launch. A build that is running continues.\n"


def read_record(data: str) -> dict[str, Any]:
    """Return what the data of an event say; what is no object is a line of the log.

    It can be written as JSON again, whatever the sender made up.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    return clean(value) if isinstance(value, dict) else {"message": data}


def phase_of(record: Mapping[str, Any]) -> Phase | None:
    """Return the phase that a record names; None for a BinderHub's own words for a pod's states."""
    name = record.get("phase")
    if name == "cancelled":  # one of us says so
        return Phase.CANCELLED
    return BINDERHUB_PHASES.get(name.lower()) if isinstance(name, str) else None


def message_of(record: Mapping[str, Any]) -> str:
    """Return the message of a record; what is no text is none."""
    message = record.get("message")
    return message if isinstance(message, str) else ""


def reason_of_status(status: object) -> str:
    """Return the reason that an HTTP status stands for."""
    if not isinstance(status, int):
        return "unknown"
    return _STATUSES.get(status) or ("internal" if status >= 500 else "unknown")


def server_of(record: Mapping[str, Any], hub: str) -> tuple[str, str]:
    """Return address and token of the server that a record of the phase `ready` tells of.

    A user and a password in the address are left out: it is shown, and stored.

    Parameters
    ----------
    record : mapping
    hub : str
        The BinderHub's address; some name their servers' relative to it.

    Raises
    ------
    LaunchFailedError
        If the address is not one that may be opened.
    """
    url, token = record.get("url"), record.get("token")
    address = _joined(hub, url) if isinstance(url, str) and url else ""
    if not is_http_url(address) or "@" in urlsplit(address).netloc:
        shown = redact_address(str(url))[:100]
        raise failure(
            "spawn-failed",
            f"The BinderHub named a server whose address is not http: {shown!r}.",
        )
    return address, token if isinstance(token, str) else ""


def fields_of(record: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """Return those of a record's fields that can be passed on.

    What is no text or too long is left out, and so is an address that a page must not link to, as
    ``javascript:…``. Repositories have addresses of git and ssh, too.
    """
    return {
        name: record[name]
        for name in names
        if _is_field(record.get(name)) and not (name in _ADDRESSES and _runs(record[name]))
    }


def _joined(hub: str, url: str) -> str:
    try:
        return without_credentials(urljoin(hub, url))
    except ValueError:
        return ""  # brackets that are none of an IPv6 address


class BinderHubLaunch:
    """Makes our events of the records of one launch, over however many connections they came.

    Parameters
    ----------
    hub : str
        The BinderHub's address.
    began, began_utc : float
        When it began, in monotonic seconds, as in every call that follows, and since 1970.

    Attributes
    ----------
    events : list of Event
        All so far; the last one is terminal when it is over.
    phase : Phase
        That of the last one.
    """

    def __init__(self, hub: str, *, began: float, began_utc: float) -> None:
        self.events: list[Event] = []
        self.phase = Phase.WAITING
        self._hub = hub
        self._began = began
        self._began_utc = began_utc
        self._estimator = Estimator(now=began, expectation=TYPICAL)
        self._reader = LogReader()
        self._attempt = 1
        self._step: Step | None = None
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._characters = 0
        self._is_full = False

    @property
    def over(self) -> bool:
        """Whether it has come to its end: nothing follows."""
        return bool(self.events) and self.events[-1].terminal

    def take(self, record: dict[str, Any], *, now: float) -> None:
        """Take in one record."""
        note = from_binderhub(record, self._reader)
        if self.over or note is None or not (note.message or note.phase):
            return
        text = note.message
        self._tail.append(text[:_LONGEST_LINE])
        # An earlier phase does not come back.
        phase = max(self.phase, note.phase or self.phase, key=_ORDER.index)
        if phase is Phase.FAILED:
            self._fail_as(record, text, now)
        elif phase is Phase.READY:
            self._ready(record, text, now)
        else:
            image = record.get("imageName")
            named = phase is Phase.BUILT and _is_field(image)
            self._tell(phase, text, note.step, now, {"imageName": image} if named else {})
        if text.startswith("Launch attempt ") and phase is Phase.LAUNCHING:
            self._attempt += 1
        if phase is Phase.BUILT:
            # What a build printed is not why its server does not start.
            self._tail.clear()

    def fail(self, reason: str, *, now: float, message: str = "", advice: str = "") -> None:
        """End it for a reason that no record gave, with its own sentences or others."""
        known = REASONS[reason]
        self._end(Diagnosis(reason, "", message or known.sentence, advice or known.advice, []), now)

    def cancel(self, *, now: float) -> None:
        """End it because nobody waits for it any more."""
        self._append(Phase.CANCELLED, _LEFT, None, now, reason="left")

    def _ready(self, record: dict[str, Any], text: str, now: float) -> None:
        try:
            url, token = server_of(record, self._hub)
        except LaunchFailedError as error:
            self.fail(error.reason, now=now, message=str(error))
            return
        self._append(
            Phase.READY, text, None, now, url=url, token=token, **fields_of(record, _FIELDS)
        )

    def _fail_as(self, record: dict[str, Any], text: str, now: float) -> None:
        # The hub's own words are a line of the log; the end says it in ours.
        if text.strip():
            self._tell(self.phase, text, None, now, {})
        if self.phase is Phase.WAITING:
            usual = reason_of_status(record.get("status_code"))
        else:
            usual = "build-failed" if self.phase in PHASES_BEFORE_LAUNCH else "spawn-failed"
        self._end(diagnose(self._tail, otherwise=usual), now)

    def _end(self, found: Diagnosis, now: float) -> None:
        self._append(
            Phase.FAILED,
            f"{found.message}\n",
            None,
            now,
            reason=found.reason,
            subject=found.subject,
            advice=found.advice,
            evidence=found.evidence,
        )

    def _tell(
        self, phase: Phase, text: str, step: Step | None, now: float, fields: dict[str, Any]
    ) -> None:
        """Append an event, unless it is but one line too many."""
        line = _within_line(text)
        self._characters += len(line)
        if self._characters > _MOST_CHARACTERS or len(self.events) >= _MOST_LINES:
            is_new = not self._is_full
            self._is_full = True
            line = "[The log is too long: the rest of it is left out.]\n" if is_new else ""
            if not is_new and phase is self.phase:
                return
        self._append(phase, line, step, now, **fields)

    def _append(
        self, phase: Phase, message: str, step: Step | None, now: float, **fields: Any
    ) -> None:
        if phase is not self.phase:
            self._step = None
        self._step = step or self._step
        self.phase = phase
        told = self._step or Step("", "")
        estimate = self._estimator.update(phase, step, now=now)
        elapsed = round(max(now - self._began, 0.0), 3)
        self.events.append(
            Event(
                id=len(self.events) + 1,
                phase=phase,
                time=round(self._began_utc + elapsed, 3),
                elapsed=elapsed,
                message=message,
                step=told.label,
                step_key=told.key,
                step_index=told.index,
                step_total=told.total,
                attempt=self._attempt,
                progress=estimate.progress,
                curve=estimate.curve,
                eta=estimate.eta,
                eta_low=estimate.low,
                eta_high=estimate.high,
                eta_late=estimate.late,
                **fields,
            )
        )


def _within_line(message: str) -> str:
    text = message.rstrip("\r\n")
    more = len(text) - _LONGEST_LINE
    if more <= 0:
        return message
    end = message[len(text) :]
    return f"{text[:_LONGEST_LINE]}… [{more:,} more characters]{end}"


def _runs(address: str) -> bool:
    """Whether a browser that follows an address may run what is in it."""
    # Browsers drop white space and control characters, in front and within.
    plain = "".join(character for character in address if character > " " and character != "\x7f")
    return plain.partition(":")[0].lower() in _RUNNING_SCHEMES


def _is_field(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_FIELD
