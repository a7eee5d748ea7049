"""Reads raw records of any source into notes, which a launch turns into events.

A note has no time, progress or number; those are added when the event is appended. Raw records are
hostile input: what cannot be parsed is kept as text.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import msgspec

from ..kubernetes.pods import event_line
from ..phases import Phase
from ..redact import redact
from .clean_json import clean
from .steps import BINDERHUB_AWAY, HUB_AWAY, QUEUED, Step, StepReader

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
    "from_build_pod",
    "from_jupyterhub",
    "from_process",
    "pod_of",
]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One raw record.

    Attributes
    ----------
    source : str
        The program that sent it.
    raw : str or dict
        A line of a log (repo2docker), or an event (JupyterHub, BinderHub, Kubernetes).
    """

    source: Literal["repo2docker", "jupyterhub", "binderhub", "kubernetes", "process"]
    raw: str | dict[str, Any]


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The content of one raw record.

    Attributes
    ----------
    message : str
        A line of the log with its line end, or empty.
    phase : Phase or None
        None: the current phase continues.
    step : Step or None
        None: the current step continues.
    error : bool
        Whether the source reports an error. It does not mean that the launch has failed:
        repo2docker prints two errors for a bad ref, and then ends.
    traceback : str
        For the operator's log, never for viewers.
    source : dict or None
        Other fields of the record, under their own names.
    pod : str
        The uid of the pod that an event of Kubernetes is about, if it is known.
    """

    message: str = ""
    phase: Phase | None = None
    step: Step | None = None
    error: bool = False
    traceback: str = ""
    source: dict[str, Any] | None = None
    pod: str = ""


_REPO2DOCKER_PHASES = {
    "fetching": Phase.FETCHING,
    "building": Phase.BUILDING,
    "pushing": Phase.PUSHING,
}
_ORDER = list(Phase)
# The phases whose messages are lines of a builder's log.
_LOGGED = {None, Phase.WAITING, Phase.FETCHING, Phase.BUILDING, Phase.PUSHING}


# What a program writes before it has done what the line is about, such as conda. Other messages
# without a line end are whole lines.
_GOES_ON = (" ", "...")
# Attack: a line is sent again for each of its fragments.
_LONGEST_BEGUN = 200


class LogReader:
    """Reads the lines of repo2docker (``--json-logs``) and of the builders below it."""

    def __init__(self) -> None:
        self._steps = StepReader()
        self._unfinished = False
        self._begun = ""
        self._step: Step | None = None
        self._is_away = False

    def read(self, line: str) -> Note | None:
        """Read one line of the output, with or without its line end.

        Returns
        -------
        Note or None
            None for an empty line, and for the lone line feed with which the older docker API ends
            the previous message.
        """
        text, name, fields = _record(line)
        name = name.lower() if isinstance(name, str) else ""  # `FakeBuild` capitalizes them
        phase = _REPO2DOCKER_PHASES.get(name)
        return self.note(text, fields, phase=phase, error=name == "failed")

    def note(
        self, text: str, fields: dict[str, Any], *, phase: Phase | None, error: bool
    ) -> Note | None:
        """Make a note of a message and the other fields of its record."""
        traceback = fields.pop("exc_info", None) or ""
        begun, self._begun = self._begun, ""
        if begun and phase is Phase.BUILDING and not fields:
            # It overwrites the line as far as it was known.
            text = begun + text
        if self._unfinished and text in {"\n", "\r\n"} and not fields:
            self._unfinished = False
            return None
        if phase is Phase.BUILDING and text.endswith(_GOES_ON):
            line = text.rpartition("\n")[2]
            self._begun = line if len(line) <= _LONGEST_BEGUN else ""
        self._unfinished = bool(text) and text[-1] not in "\r\n" and not self._begun
        if not text.strip() and not (fields or traceback or phase or error):
            return None
        if phase in _LOGGED:
            if "@" in text and "://" in text:
                # git prints the address that it fetches from. Other output of the repository's own
                # programs is not redacted.
                text = redact(text)
            step = self._steps.read(text, fields.get("layers"))
            if step is not None:
                phase = _further(phase, step)
        else:
            step = _launch_step(text)
        if self._is_away:
            # It goes on with the step before, unless it says otherwise.
            self._is_away, step = False, step or self._step
        if step is not None:
            self._step = step
        return Note(
            message=f"{text}\r" if self._begun else ended(text),
            phase=phase,
            step=step,
            error=error,
            traceback=traceback if isinstance(traceback, str) else repr(traceback),
            source=fields or None,
        )

    def away(self, text: str) -> Note:
        """Make a note of a source that cannot be reached, and is tried again."""
        self._is_away = True
        return Note(message=ended(text), step=BINDERHUB_AWAY)


def _further(phase: Phase | None, step: Step) -> Phase | None:
    """Return the later of the phase that a record names and the phase that its step implies.

    repo2docker reports pushing as text within "building". But a postBuild script that clones a
    repository has not gone back to fetching.
    """
    implied = step.phase
    if phase is None or implied is None:
        return phase or implied
    return max(phase, implied, key=_ORDER.index)


class _Plain(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The form of nearly every line of repo2docker.

    msgspec decodes it ten times as fast as `json`. It rejects lone surrogates, so the result need
    not be cleaned.
    """

    message: str
    phase: str = ""


_plain = msgspec.json.Decoder(_Plain).decode


def _record(line: str) -> tuple[str, object, dict[str, Any]]:
    """Split a line into message, phase and other fields. Plain text has only a message."""
    if not line.startswith("{"):
        return clean(line), None, {}
    try:
        plain = _plain(line)
    except (msgspec.DecodeError, UnicodeEncodeError):
        text, fields = _other_record(line)
        return text, fields.pop("phase", None), fields
    return plain.message, plain.phase, {}


def _other_record(line: str) -> tuple[str, dict[str, Any]]:
    """Split a line that has more fields than message and phase, or is not JSON."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return clean(line), {}
    fields = clean(fields)
    if isinstance(fields.get("message"), str):
        return fields.pop("message"), fields
    if traceback := fields.pop("exc_info", None):
        # The other fields are shown as they are, but never the traceback.
        return json.dumps(fields) + "\n", {"exc_info": traceback}
    return clean(line), {}


def _text(message: Any) -> str:
    if message is None:
        return ""
    return message if isinstance(message, str) else json.dumps(message)


def ended(text: str) -> str:
    r"""Return `text` with one line end: ``\n``, or ``\r`` if the next line overwrites it."""
    if not text or text[-1] == "\r" or (text[-1] == "\n" and text[-2:] != "\r\n"):
        return text
    return text.removesuffix("\n").removesuffix("\r") + "\n"


# The container is running, but the Jupyter server in it does not respond yet.
_STARTED = Step("answering", "Waiting for the server to respond")
_EVICTED = Step("evicted", "Removed from its node")
# Reasons of Kubernetes' pod events, and the steps that they begin.
_KUBERNETES_STEPS = {
    "FailedScheduling": Step("waiting-for-node", "Waiting for a node"),
    "NotTriggerScaleUp": Step("waiting-for-node", "Waiting for a node"),
    "TriggeredScaleUp": Step("adding-node", "Adding a node"),
    "Scheduled": Step("scheduled", "Found a node"),
    "Pulling": Step("pulling", "Pulling the image"),
    "Pulled": Step("pulled", "Pulled the image"),
    "Created": Step("created", "Created the container"),
    "Started": _STARTED,
    "BackOff": Step("retrying", "Retrying after a failure"),
    "Failed": Step("retrying", "Retrying after a failure"),
    "FailedMount": Step("waiting-for-storage", "Waiting for storage"),
    "FailedAttachVolume": Step("waiting-for-storage", "Waiting for storage"),
    "SuccessfulAttachVolume": Step("waiting-for-storage", "Waiting for storage"),
    "FailedCreatePodSandBox": Step("retrying", "Retrying after a failure"),
    "NetworkNotReady": Step("retrying", "Retrying after a failure"),
    "Evicted": _EVICTED,
    "NodeNotReady": _EVICTED,
    "Preempted": _EVICTED,
    "Preempting": _EVICTED,
    "TaintManagerEviction": _EVICTED,
}
# What a container does that only prepares the pod, such as z2jh's `block-cloud-metadata`. Each has
# events of its own, after which those of the server's container begin with its image again.
_INIT_CONTAINER = "spec.initContainers{"
_OF_CONTAINERS = {"Pulling", "Pulled", "Created", "Started"}
_PREPARING = Step("preparing", "Preparing the server")
# KubeSpawner's message after 20 s, and then every 5 s.
_SLOW = "Server launch is taking longer than expected."
_STARTING = Step("starting", "Starting the server")
_SLOW_STEP = Step("slow", "Taking longer than usual")
JUPYTERHUB_STEPS = {
    "Server requested": Step("requested", "Requesting a server"),
    "Spawning server...": _STARTING,
}
"""JupyterHub's own messages, which do not depend on the spawner."""

KUBERNETES_STAMP = r"\S+Z \[(?:Normal|Warning)\] "
"""The prefix that KubeSpawner adds to Kubernetes' messages."""

_STAMP = re.compile(KUBERNETES_STAMP, re.ASCII)
# BinderHub forwards only the messages of events.
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
    # Of BinderHub itself.
    "Launch attempt ": "BackOff",
}
MESSAGE_STEPS = {prefix: _KUBERNETES_STEPS[reason] for prefix, reason in _MESSAGES.items()}
"""Prefixes of messages of Kubernetes and BinderHub, and the steps that they begin."""


def _launch_step(message: str) -> Step | None:
    """Return the step that a message of JupyterHub or BinderHub begins."""
    text = message.strip()
    if text in JUPYTERHUB_STEPS:
        return JUPYTERHUB_STEPS[text]
    if stamp := _STAMP.match(text):
        text = text[stamp.end() :]
    return next((step for prefix, step in MESSAGE_STEPS.items() if text.startswith(prefix)), None)


def from_jupyterhub(record: dict[str, Any]) -> Note:
    """Make a note of a progress event of JupyterHub.

    `progress` and `message` may be missing. With an empty message, an event of Kubernetes is a step
    without a line. ``html_message`` is untrusted HTML: it is kept in `source` and never shown.
    """
    fields = clean(record)
    message = fields.pop("message", None)
    raw = fields.get("raw_event")
    step = None
    if isinstance(raw, dict):
        step = _event_step(raw)
        message = raw.get("message") if message is None else message
    message = _text(message)
    if fields.get("throttled") is True:
        step = QUEUED
    elif fields.get("unreachable") is True:
        step = HUB_AWAY
    return Note(
        message=ended(message),
        phase=Phase.LAUNCHING,
        step=step or _launch_step(message),
        error=fields.get("failed") is True,
        source=fields or None,
        pod=pod_of(record),
    )


def _event_step(event: dict[str, Any]) -> Step | None:
    """Return the step that an event of Kubernetes begins."""
    reason = str(event.get("reason"))
    about = event.get("involvedObject")
    path = about.get("fieldPath") if isinstance(about, dict) else None
    if reason in _OF_CONTAINERS and isinstance(path, str) and path.startswith(_INIT_CONTAINER):
        return _PREPARING
    return _KUBERNETES_STEPS.get(reason)


def pod_of(record: dict[str, Any]) -> str:
    """Return the uid of the pod that a progress event of JupyterHub is about, if it is known.

    A JupyterHub that was restarted repeats the events of an earlier pod of the same name.
    """
    raw = record.get("raw_event")
    pod = raw.get("involvedObject") if isinstance(raw, dict) else None
    uid = pod.get("uid") if isinstance(pod, dict) else None
    return uid if isinstance(uid, str) else ""


def from_build_pod(event: dict[str, Any]) -> Note:
    """Make a note of an event of Kubernetes about the pod of a build."""
    event = clean(event)
    step = _event_step(event)
    # What is started here is the build, whose log begins now.
    return Note(
        message=event_line(event),
        phase=Phase.WAITING,
        step=None if step is _STARTED else step,
    )


def from_process(line: str) -> Note:
    """Make a note of a line about a Jupyter server that is started without a JupyterHub."""
    return Note(message=ended(line), phase=Phase.LAUNCHING, step=_STARTING)


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
"""BinderHub's phases in lower case."""


def from_binderhub(record: dict[str, Any], reader: LogReader) -> Note | None:
    """Make a note of an event in BinderHub's ``/build/`` stream.

    Parameters
    ----------
    record : dict
        The event.
    reader : LogReader
        The reader of this stream, whose log lines are those of repo2docker.
    """
    fields = clean(record)
    # The token opens the server, and the log is public.
    fields.pop("token", None)
    if isinstance(fields.get("url"), str):
        fields["url"] = redact(fields["url"])
    text = _text(fields.pop("message", None))
    if fields.get("unreachable") is True:  # from our own stream
        return reader.away(text)
    # BinderHub's names for the states of a build pod ("Pending", "unknown", …) are not phases.
    phase = BINDERHUB_PHASES.get(str(fields.pop("phase", "")).lower())
    return reader.note(text, fields, phase=phase, error=phase is Phase.FAILED)


class Normalizer:
    """Makes notes of the records of one build or spawn, in order."""

    def __init__(self) -> None:
        self._reader = LogReader()
        self._is_explained = False

    def read(self, record: Record) -> Note | None:
        """Make a note of one record; None if it is empty."""
        raw = record.raw
        if isinstance(raw, str):
            return from_process(raw) if record.source == "process" else self._reader.read(raw)
        if record.source == "jupyterhub":
            return self._from_jupyterhub(raw)
        if record.source == "kubernetes":
            return from_build_pod(raw)
        return from_binderhub(raw, self._reader)

    def _from_jupyterhub(self, raw: dict[str, Any]) -> Note | None:
        """Make a note, but no line of each message that only says that it takes long.

        It is a step if Kubernetes has not said what is going on.
        """
        message = raw.get("message")
        if isinstance(message, str) and message.lstrip().startswith(_SLOW):
            note = None if self._is_explained else Note(phase=Phase.LAUNCHING, step=_SLOW_STEP)
            self._is_explained = True
            return note
        note = from_jupyterhub(raw)
        self._is_explained = self._is_explained or "raw_event" in raw
        return note
