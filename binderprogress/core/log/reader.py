"""From the raw records of any source to notes, which the launch makes into events.

A note says what a record says and nothing of when, how far or which number; that is added where
the event is appended. Raw records are hostile input: what does not fit is kept as text.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import msgspec

from ..phases import Phase
from ..redact import redact
from .steps import QUEUED, Step, StepReader

__all__ = [
    "BINDERHUB_PHASES",
    "JUPYTERHUB_STEPS",
    "KUBERNETES_STAMP",
    "MESSAGE_STEPS",
    "LogReader",
    "Normalizer",
    "Note",
    "Record",
    "clean",
    "from_binderhub",
    "from_jupyterhub",
]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One raw record.

    Attributes
    ----------
    source : str
        Who speaks.
    raw : str or dict
        A line of a log (repo2docker), or an event (a Hub, a BinderHub).
    """

    source: Literal["repo2docker", "jupyterhub", "binderhub"]
    raw: str | dict[str, Any]


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one raw record says.

    Attributes
    ----------
    message : str
        A line of the log, with its line end, or nothing.
    phase : Phase or None
        None: the present one goes on.
    step : Step or None
        None: the present one goes on.
    error : bool
        Whether the source calls it an error. Whether the launch fails is for the source's end to
        say: repo2docker prints two such lines for a bad ref.
    traceback : str
        For the operator's log; never for viewers.
    source : dict or None
        What else the record held, under its own names.
    """

    message: str = ""
    phase: Phase | None = None
    step: Step | None = None
    error: bool = False
    traceback: str = ""
    source: dict[str, Any] | None = None


_REPO2DOCKER_PHASES = {
    "fetching": Phase.FETCHING,
    "building": Phase.BUILDING,
    "pushing": Phase.PUSHING,
}
_ORDER = list(Phase)
# The phases whose messages are a builder's log.
_LOGGED = {None, Phase.WAITING, Phase.FETCHING, Phase.BUILDING, Phase.PUSHING}


class LogReader:
    """Reads the lines of repo2docker (``--json-logs``) and of the builders below it."""

    def __init__(self) -> None:
        self._steps = StepReader()
        self._unfinished = False

    def read(self, line: str) -> Note | None:
        """Make a note of one line of the process's output, line end included or not.

        Returns
        -------
        Note or None
            None for what says nothing: an empty line, or the lone line feed with which the older
            docker API ends a message that came before.
        """
        text, name, fields = _record(line)
        phase = _REPO2DOCKER_PHASES.get(name) if isinstance(name, str) else None
        return self.note(text, fields, phase=phase, error=name == "failed")

    def note(
        self, text: str, fields: dict[str, Any], *, phase: Phase | None, error: bool
    ) -> Note | None:
        """Make a note of a message and what stands beside it in its record."""
        traceback = fields.pop("exc_info", None) or ""
        if self._unfinished and text in {"\n", "\r\n"} and not fields:
            self._unfinished = False
            return None
        self._unfinished = bool(text) and text[-1] not in "\r\n"
        if not text.strip() and not (fields or traceback or phase or error):
            return None
        if phase in _LOGGED:
            if "@" in text and "://" in text:
                # git prints the address that it fetches from. Only this: what else a repository's
                # own programs print is the repository's business.
                text = redact(text)
            step = self._steps.read(text, fields.get("layers"))
            phase = _further(phase, step)
        else:
            step = _launch_step(text)
        return Note(
            message=ended(text),
            phase=phase,
            step=step,
            error=error,
            traceback=traceback if isinstance(traceback, str) else repr(traceback),
            source=fields or None,
        )


def _further(phase: Phase | None, step: Step | None) -> Phase | None:
    """Return the phase that a record names, or a later one that its text gives away.

    Pushing shows up as text inside "building". But a postBuild that clones something has not gone
    back to fetching.
    """
    told = step.phase if step is not None else None
    if phase is None or told is None:
        return phase or told
    return max(phase, told, key=_ORDER.index)


class _Plain(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What nearly every line of repo2docker is; read as this, there is nothing to be cleaned.

    msgspec reads it ten times as fast as Python does, and refuses halves of surrogate pairs.
    """

    message: str
    phase: str = ""


_plain = msgspec.json.Decoder(_Plain).decode


def _record(line: str) -> tuple[str, object, dict[str, Any]]:
    """Split a line into its message, its phase and its other fields; plain text has no others."""
    if not line.startswith("{"):
        return clean(line), None, {}
    try:
        plain = _plain(line)
    except (msgspec.DecodeError, UnicodeEncodeError):
        text, fields = _odd(line)
        return text, fields.pop("phase", None), fields
    return plain.message, plain.phase, {}


def _odd(line: str) -> tuple[str, dict[str, Any]]:
    """Split what has more in it than a message and a phase, or is no JSON after all."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return clean(line), {}
    fields = clean(fields)
    if isinstance(fields.get("message"), str):
        return fields.pop("message"), fields
    if traceback := fields.pop("exc_info", None):
        # What remains is shown as it is, but never this.
        return json.dumps(fields) + "\n", {"exc_info": traceback}
    return clean(line), {}


_SURROGATE = re.compile("[\ud800-\udfff]")
_DEEPEST = 32
# What msgspec writes.
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


def clean(value: Any, depth: int = 0) -> Any:
    """Return `value` as something that can be written as JSON again.

    Attack: JSON can say half a surrogate pair, which UTF-8 cannot, nest deeper than a writer goes,
    and have integers with thousands of digits. Each would end the launch with an exception.
    """
    if isinstance(value, str):
        # ASCII, which it knows without looking, has none.
        return value if value.isascii() else _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict | list) and depth == _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {clean(str(key)): clean(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item, depth + 1) for item in value]
    if type(value) is int and not _SMALLEST <= value <= _LARGEST:
        return str(value)
    return value


def _text(message: Any) -> str:
    if message is None:
        return ""
    return message if isinstance(message, str) else json.dumps(message)


def ended(text: str) -> str:
    r"""Return `text` as one line: ending in ``\n``, or in ``\r`` if it is to be overwritten."""
    if not text or text[-1] == "\r" or (text[-1] == "\n" and text[-2:] != "\r\n"):
        return text
    return text.removesuffix("\n").removesuffix("\r") + "\n"


# The reasons of Kubernetes' pod events that say something to the one who waits.
_KUBERNETES_STEPS = {
    "FailedScheduling": Step("waiting-for-node", "Waiting for a node"),
    "NotTriggerScaleUp": Step("waiting-for-node", "Waiting for a node"),
    "TriggeredScaleUp": Step("adding-node", "Adding a node"),
    "Scheduled": Step("scheduled", "Found a node"),
    "Pulling": Step("pulling", "Pulling the image"),
    "Pulled": Step("pulled", "Pulled the image"),
    "Created": Step("created", "Created the container"),
    # The container runs; what is still to come is the answer of the Jupyter server in it.
    "Started": Step("answering", "Waiting for the server to respond"),
    "BackOff": Step("retrying", "Retrying after a failure"),
    "Failed": Step("retrying", "Retrying after a failure"),
    "FailedMount": Step("waiting-for-storage", "Waiting for storage"),
    "FailedAttachVolume": Step("waiting-for-storage", "Waiting for storage"),
    "SuccessfulAttachVolume": Step("waiting-for-storage", "Waiting for storage"),
}
JUPYTERHUB_STEPS = {
    "Server requested": Step("requested", "Requesting a server"),
    "Spawning server...": Step("starting", "Starting the server"),
}
"""What JupyterHub says itself, whatever the spawner."""

KUBERNETES_STAMP = r"\S+Z \[(?:Normal|Warning)\] "
"""What KubeSpawner puts in front of Kubernetes' messages."""

_STAMP = re.compile(KUBERNETES_STAMP, re.ASCII)
# A BinderHub hands on nothing but the messages: here the events themselves are lost.
_MESSAGES = {
    "0/": "FailedScheduling",
    "pod triggered scale-up": "TriggeredScaleUp",
    "Scheduled": "Scheduled",
    "Successfully assigned": "Scheduled",
    "Pulling image": "Pulling",
    "Pulled image": "Pulled",
    "Successfully pulled image": "Pulled",
    "Container image": "Pulled",
    "Created container": "Created",
    "Started container": "Started",
    "Back-off": "BackOff",
    # BinderHub's own.
    "Launch attempt ": "BackOff",
}
MESSAGE_STEPS = {prefix: _KUBERNETES_STEPS[reason] for prefix, reason in _MESSAGES.items()}
"""What a message of Kubernetes or BinderHub begins with, and the step that it begins."""


def _launch_step(message: str) -> Step | None:
    """Return the step that a message of a Hub begins."""
    text = message.strip()
    if text in JUPYTERHUB_STEPS:
        return JUPYTERHUB_STEPS[text]
    if stamp := _STAMP.match(text):
        text = text[stamp.end() :]
    return next((step for prefix, step in MESSAGE_STEPS.items() if text.startswith(prefix)), None)


def from_jupyterhub(record: dict[str, Any]) -> Note:
    """Make a note of one of JupyterHub's progress events.

    `progress` and `message` can be absent. ``html_message`` is HTML from the Hub: it is kept under
    `source` and never shown.
    """
    fields = clean(record)
    message = fields.pop("message", None)
    raw = fields.get("raw_event")
    step = None
    if isinstance(raw, dict):
        step = _KUBERNETES_STEPS.get(str(raw.get("reason")))
        message = message or raw.get("message")
    message = _text(message)
    if fields.get("throttled") is True:
        step = QUEUED
    return Note(
        message=ended(message),
        phase=Phase.LAUNCHING,
        step=step or _launch_step(message),
        error=fields.get("failed") is True,
        source=fields or None,
    )


BINDERHUB_PHASES = {
    "waiting": Phase.WAITING,
    "fetching": Phase.FETCHING,
    "building": Phase.BUILDING,
    "pushing": Phase.PUSHING,
    "built": Phase.BUILT,
    "launching": Phase.LAUNCHING,
    "ready": Phase.READY,
    "failed": Phase.FAILED,
}
"""BinderHub's phases, in lower case."""


def from_binderhub(record: dict[str, Any], reader: LogReader) -> Note | None:
    """Make a note of one event of a BinderHub's ``/build/`` stream.

    Parameters
    ----------
    record : dict
        The event.
    reader : LogReader
        One per stream: log lines inside it are repo2docker's.
    """
    fields = clean(record)
    # It opens the server: for the one who launched, not for a log that others see too.
    fields.pop("token", None)
    if isinstance(fields.get("url"), str):
        fields["url"] = redact(fields["url"])
    text = _text(fields.pop("message", None))
    # Its own words for a build pod's states ("Pending", "unknown", …) are no phases of ours.
    phase = BINDERHUB_PHASES.get(str(fields.pop("phase", "")).lower())
    return reader.note(text, fields, phase=phase, error=phase is Phase.FAILED)


class Normalizer:
    """Makes notes of the records of one build or spawn, in their order."""

    def __init__(self) -> None:
        self._reader = LogReader()

    def read(self, record: Record) -> Note | None:
        """Make a note of one record; None if it says nothing."""
        raw = record.raw
        if isinstance(raw, str):
            return self._reader.read(raw)
        if record.source == "jupyterhub":
            return from_jupyterhub(raw)
        return from_binderhub(raw, self._reader)
