"""Reads the records of a BinderHub's ``/build/`` stream, and makes events of them.

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
from ..log.diagnosis import Diagnosis, diagnose, diagnosis_of
from ..log.lines import shortened
from ..log.reader import BINDERHUB_PHASES, LogReader, clean, from_binderhub
from ..log.reasons import failure
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
"""The phases of a build, and None for a record without a phase.

A request that is repeated in these phases joins the build, and gets the records again.
"""

SPAWN_PHASES = frozenset({Phase.BUILT, Phase.LAUNCHING, Phase.READY})
"""The phases after a server was requested. A request that is repeated starts another server."""

TYPICAL: Mapping[Phase, float] = {
    Phase.WAITING: 3.0,
    Phase.FETCHING: 4.0,
    Phase.BUILDING: 120.0,
    Phase.PUSHING: 20.0,
    Phase.LAUNCHING: 15.0,
}
"""Default duration of each phase, in seconds."""

LONGEST_FIELD = 4096
"""Maximum length of a field of `ready`. Longer fields are omitted."""

# The fields of `ready` that only the BinderHub knows.
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
_SCRIPT_SCHEMES = {"javascript", "vbscript", "data", "blob", "filesystem", "view-source"}
# Reasons for HTTP statuses, if the message does not give a more specific one.
_STATUSES = {403: "refused", 429: "rate-limited"}
# The number of last messages that are searched for the reason of a failure.
_TAIL = 400
_LONGEST_LINE = 4096
# Attack: a BinderHub that never stops sending. All events are kept in memory.
_MOST_LINES = 100_000
_MOST_CHARACTERS = 64 * 2**20
_ORDER = list(Phase)
_STOPPED_WATCHING = "Stopped watching the launch. A build that is running continues.\n"


def read_record(data: str) -> dict[str, Any]:
    """Decode the data of an event. Anything but a JSON object is returned as a line of the log.

    The record can be encoded as JSON again, even if the sender is hostile.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    return clean(value) if isinstance(value, dict) else {"message": data}


def phase_of(record: Mapping[str, Any]) -> Phase | None:
    """Return the phase of a record; None for BinderHub's names of the states of a build pod."""
    name = record.get("phase")
    if name == "cancelled":  # from binderprogress inside a BinderHub
        return Phase.CANCELLED
    return BINDERHUB_PHASES.get(name.lower()) if isinstance(name, str) else None


def message_of(record: Mapping[str, Any]) -> str:
    """Return the message of a record; empty if it is not a string."""
    message = record.get("message")
    return message if isinstance(message, str) else ""


def reason_of_status(status: object) -> str:
    """Return the reason for an HTTP status."""
    if not isinstance(status, int):
        return "unknown"
    return _STATUSES.get(status) or ("internal" if status >= 500 else "unknown")


def server_of(record: Mapping[str, Any], hub: str) -> tuple[str, str]:
    """Return address and token of the server in a record of the phase `ready`.

    A user and a password are removed from the address, because it is shown and stored.

    Parameters
    ----------
    record : mapping
    hub : str
        Address of the BinderHub. The server's address may be relative to it.

    Raises
    ------
    LaunchFailedError
        If the address is not http or https.
    """
    url, token = record.get("url"), record.get("token")
    address = _joined(hub, url) if isinstance(url, str) and url else ""
    if not is_http_url(address) or "@" in urlsplit(address).netloc:
        shown = redact_address(str(url))[:100]
        raise failure(
            "spawn-failed",
            f"The BinderHub returned a server address that is not http: {shown!r}.",
        )
    return address, token if isinstance(token, str) else ""


def fields_of(record: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """Return those of the named fields that are safe to forward.

    Fields that are not strings or are too long are omitted, and so are addresses that a page must
    not link to, such as ``javascript:…``. Addresses of repositories may begin with git: and ssh:.
    """
    return {
        name: record[name]
        for name in names
        if _is_field(record.get(name)) and not (name in _ADDRESSES and _is_script(record[name]))
    }


def _joined(hub: str, url: str) -> str:
    try:
        return without_credentials(urljoin(hub, url))
    except ValueError:
        return ""  # brackets that do not enclose an IPv6 address


class BinderHubLaunch:
    """Makes events of the records of one launch, which may come over several connections.

    Parameters
    ----------
    hub : str
        Address of the BinderHub.
    began : float
        When the launch began, in monotonic seconds, as in all later calls.
    began_utc : float
        The same in seconds since 1970.

    Attributes
    ----------
    events : list of Event
        All events so far. The last one is terminal if the launch has ended.
    phase : Phase
        The phase of the last event.
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
        """Whether the launch has ended."""
        return bool(self.events) and self.events[-1].terminal

    def take(self, record: dict[str, Any], *, now: float) -> None:
        """Process one record."""
        note = from_binderhub(record, self._reader)
        if self.over or note is None or not (note.message or note.phase):
            return
        text = note.message
        self._tail.append(shortened(text, _LONGEST_LINE))
        # A launch does not return to an earlier phase.
        phase = max(self.phase, note.phase or self.phase, key=_ORDER.index)
        if phase is Phase.FAILED:
            self._fail_as(record, text, now)
        elif phase is Phase.READY:
            self._ready(record, text, now)
        else:
            image = record.get("imageName")
            named = phase is Phase.BUILT and _is_field(image)
            self._append_line(phase, text, note.step, now, {"imageName": image} if named else {})
        if text.startswith("Launch attempt ") and phase is Phase.LAUNCHING:
            self._attempt += 1
        if phase is Phase.BUILT:
            # The output of a build does not explain why a server fails to start.
            self._tail.clear()

    def fail(self, reason: str, *, now: float, message: str = "", advice: str = "") -> None:
        """End the launch with a failure, for a reason that no record gave.

        `message` and `advice` replace those of the reason.
        """
        known = failure(reason, message)
        known.advice = advice or known.advice
        self._end(diagnosis_of(known), now)

    def cancel(self, *, now: float) -> None:
        """End the launch because the caller stopped watching it."""
        self._append(Phase.CANCELLED, _STOPPED_WATCHING, None, now, reason="left")

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
        # BinderHub's own message becomes a line of the log. The last event has our sentence.
        if text.strip():
            self._append_line(self.phase, text, None, now, {})
        if self.phase is Phase.WAITING:
            usual = reason_of_status(record.get("status_code"))
        else:
            usual = "build-failed" if self.phase in PHASES_BEFORE_LAUNCH else "spawn-failed"
        kind = "spawn" if self.phase is Phase.LAUNCHING else ""
        self._end(diagnose(self._tail, otherwise=usual, kind=kind), now)

    def _end(self, diagnosis: Diagnosis, now: float) -> None:
        self._append(
            Phase.FAILED,
            f"{diagnosis.message}\n",
            None,
            now,
            reason=diagnosis.reason,
            subject=diagnosis.subject,
            advice=diagnosis.advice,
            evidence=diagnosis.evidence,
            fault=diagnosis.fault,
            retry=diagnosis.retry,
            file=diagnosis.file,
            line=diagnosis.line,
        )

    def _append_line(
        self, phase: Phase, text: str, step: Step | None, now: float, fields: dict[str, Any]
    ) -> None:
        """Append an event, unless the log is too long and the phase does not change."""
        line = shortened(text, _LONGEST_LINE)
        self._characters += len(line)
        if self._characters > _MOST_CHARACTERS or len(self.events) >= _MOST_LINES:
            is_new = not self._is_full
            self._is_full = True
            line = "[The log is too long. The rest is omitted.]\n" if is_new else ""
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
        shown = self._step or Step("", "")
        estimate = self._estimator.update(phase, step, now=now)
        elapsed = round(max(now - self._began, 0.0), 3)
        self.events.append(
            Event(
                id=len(self.events) + 1,
                phase=phase,
                time=round(self._began_utc + elapsed, 3),
                elapsed=elapsed,
                message=message,
                step=shown.label,
                step_key=shown.key,
                step_index=shown.index,
                step_total=shown.total,
                attempt=self._attempt,
                progress=estimate.progress,
                curve=estimate.curve,
                eta=estimate.eta,
                eta_low=estimate.low,
                eta_high=estimate.high,
                eta_latest=estimate.latest,
                eta_late=estimate.late,
                **fields,
            )
        )


def _is_script(address: str) -> bool:
    """Whether a browser that follows the address may run a script in it."""
    # Browsers ignore white space and control characters at the start and within.
    plain = "".join(character for character in address if character > " " and character != "\x7f")
    return plain.partition(":")[0].lower() in _SCRIPT_SCHEMES


def _is_field(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_FIELD
