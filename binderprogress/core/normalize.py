"""From the raw records of any source to notes, which the launch makes into events.

A note says what a record says and nothing of when, how far or which number; that is added where
the event is appended. Raw records are hostile input: what does not fit is kept as text.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec

from .phases import Phase
from .steps import Step, StepReader

__all__ = ["LogReader", "Normalizer", "Note", "Record", "from_binderhub", "from_hub"]


class Record(msgspec.Struct, frozen=True):
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


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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
        text, fields = _record(line)
        if text in {"\n", "\r\n"} and self._unfinished:
            self._unfinished = False
            return None
        self._unfinished = bool(text) and text[-1] not in "\r\n"
        name = fields.pop("phase", None)
        traceback = fields.pop("exc_info", "")
        if not text.strip() and not fields and not name:
            return None
        step = self._steps.read(text)
        phase = _REPO2DOCKER_PHASES.get(name) if isinstance(name, str) else None
        if step is not None and step.phase is not None:
            # Pushing shows up as text inside "building"; the text knows better.
            phase = step.phase
        return Note(
            message=ended(text),
            phase=phase,
            step=step,
            error=name == "failed",
            traceback=traceback if isinstance(traceback, str) else repr(traceback),
            source=fields or None,
        )


def _record(line: str) -> tuple[str, dict[str, Any]]:
    """Split a line into its message and its other fields; plain text has none."""
    if line.startswith("{"):
        try:
            fields = json.loads(line)
        except ValueError:
            return line, {}
        if isinstance(fields, dict) and isinstance(fields.get("message"), str):
            return fields.pop("message"), fields
    return line, {}


def ended(text: str) -> str:
    r"""Return `text` as one line: ending in ``\n``, or in ``\r`` if it is to be overwritten."""
    if not text or text.endswith("\r"):
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
    "Started": Step("starting", "Starting the server"),
    "BackOff": Step("retrying", "Trying again after a failure"),
    "Failed": Step("retrying", "Trying again after a failure"),
    "FailedMount": Step("waiting-for-storage", "Waiting for storage"),
    "FailedAttachVolume": Step("waiting-for-storage", "Waiting for storage"),
    "SuccessfulAttachVolume": Step("waiting-for-storage", "Waiting for storage"),
}
# What JupyterHub says itself, whatever the spawner.
_HUB_STEPS = {
    "Server requested": Step("requested", "Asking for a server"),
    "Spawning server...": Step("starting", "Starting the server"),
}


def from_hub(record: dict[str, Any]) -> Note:
    """Make a note of one of JupyterHub's progress events.

    `progress` and `message` can be absent. ``html_message`` is HTML from the Hub: it is kept under
    `source` and never shown.
    """
    fields = dict(record)
    message = fields.pop("message", "")
    raw = fields.get("raw_event")
    step = None
    if isinstance(raw, dict):
        step = _KUBERNETES_STEPS.get(str(raw.get("reason")))
        message = message or raw.get("message", "")
    if not isinstance(message, str):
        message = json.dumps(message)
    return Note(
        message=ended(message),
        phase=Phase.LAUNCHING,
        step=step or _HUB_STEPS.get(message),
        error=fields.get("failed") is True,
        source=fields or None,
    )


_BINDERHUB_PHASES = {
    "waiting": Phase.WAITING,
    "fetching": Phase.FETCHING,
    "building": Phase.BUILDING,
    "pushing": Phase.PUSHING,
    "built": Phase.BUILT,
    "launching": Phase.LAUNCHING,
    "ready": Phase.READY,
    "failed": Phase.FAILED,
}


def from_binderhub(record: dict[str, Any], reader: LogReader) -> Note | None:
    """Make a note of one event of a BinderHub's ``/build/`` stream.

    Parameters
    ----------
    record : dict
        The event.
    reader : LogReader
        One per stream: log lines inside it are repo2docker's.
    """
    fields = dict(record)
    message = fields.pop("message", "")
    if not isinstance(message, str):
        message = json.dumps(message)
    # Its own words for a build pod's states ("Pending", "unknown", …) are no phases of ours.
    name = str(fields.pop("phase", "")).lower()
    phase = _BINDERHUB_PHASES.get(name)
    note = reader.read(message)
    if phase is None and note is None and not fields:
        return None
    step = note.step if note is not None else None
    if step is not None and step.phase is not None and phase in {Phase.FETCHING, Phase.BUILDING}:
        phase = step.phase
    traceback = fields.pop("exc_info", "")
    if phase is Phase.LAUNCHING and step is None:
        step = _HUB_STEPS.get(message.strip())
    return Note(
        message=ended(message),
        phase=phase,
        step=step,
        error=phase is Phase.FAILED,
        traceback=str(traceback),
        source=fields or None,
    )


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
            return from_hub(raw)
        return from_binderhub(raw, self._reader)
