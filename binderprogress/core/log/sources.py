"""Logs of a launch as people have them: of a builder, repo2docker, a JupyterHub or a BinderHub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from .reader import pod_of

__all__ = ["ReadLog", "read_source"]

# curl prints an event stream with its field names.
_SSE_DATA = "data:"
_SSE_OTHER = ("event:", "id:", "retry:", ":")
# GitHub Actions puts the job and the step in front of each line.
_CI_PREFIX = re.compile(r"[^\t]{1,200}\t[^\t]{1,200}\t\ufeff?(?=\d{4}-\d\d-\d\dT)", re.ASCII)
_PHASES = {"fetching", "building", "pushing", "built", "launching"}
_LAUNCH_PHASES = {"built", "launching", "ready"}


class ReadLog(msgspec.Struct):
    """The messages of a log.

    Attributes
    ----------
    lines : list of str
        One for each message, in their order.
    numbers : list of int
        The line of the input that each comes from, from 1.
    kind : str
        ``spawn`` if what comes last is about starting a server; see `reasons.KINDS`.
    failed : bool or None
        Whether it says how the launch ended; None: it does not say.
    """

    lines: list[str] = []
    numbers: list[int] = []
    kind: str = ""
    failed: bool | None = None


def read_source(text: Iterable[str]) -> ReadLog:
    """Read a log, whichever kind it is of.

    Parameters
    ----------
    text : iterable of str
        Its lines: of a builder's output, JSON lines of repo2docker (``--json-logs``), events of a
        JupyterHub's progress stream, or records of a BinderHub's ``/build/``. Each line is read
        for itself, so a log may be of several kinds.
    """
    reader = _Reader()
    for number, line in enumerate(text, 1):
        reader.read(number, line.rstrip("\r\n"))
    return reader.log


class _Reader:
    def __init__(self) -> None:
        self.log = ReadLog()
        self._pod = ""

    def read(self, number: int, line: str) -> None:
        if line.startswith(_SSE_OTHER) and not line.startswith("::"):
            return
        text = line[len(_SSE_DATA) :].lstrip() if line.startswith(_SSE_DATA) else line
        record = _record(text)
        if record is None:
            self._add(number, _without_prefix(text))
        elif "POST" in record:
            self._answer(number, record["POST"])
        elif "progress" in record or "raw_event" in record:
            self._of_jupyterhub(number, record)
        else:
            self._of_builder(number, record)

    def _add(self, number: int, message: Any) -> None:
        if isinstance(message, str) and message.strip():
            self.log.lines.append(message)
            self.log.numbers.append(number)

    def _answer(self, number: int, answer: Any) -> None:
        """Read what a JupyterHub answered to the request for a server: status and body."""
        status, body = answer if isinstance(answer, list) and len(answer) == 2 else (0, None)
        self.log.kind = "spawn"
        message = body.get("message") if isinstance(body, dict) else None
        if isinstance(status, int) and status >= 400:
            self.log.failed = True
            if status < 500 and isinstance(message, str):
                message = f"JupyterHub answered {status}: {message}"
        self._add(number, message)

    def _of_jupyterhub(self, number: int, record: dict[str, Any]) -> None:
        self._begin_spawn()
        pod = pod_of(record)
        if pod and self._pod and pod != self._pod:
            # A JupyterHub repeats the events of an earlier pod of the same name.
            self._clear()
        self._pod = pod or self._pod
        if record.get("ready") is True or record.get("failed") is True:
            self.log.failed = record.get("failed") is True
        self._add(number, record.get("message"))

    def _of_builder(self, number: int, record: dict[str, Any]) -> None:
        """Read a record of repo2docker or of a BinderHub."""
        phase = str(record.get("phase", "")).lower()
        if phase in _LAUNCH_PHASES:
            self._begin_spawn()
        if phase in {"ready", "failed"}:
            self.log.failed = phase == "failed"
        elif phase in _PHASES and self.log.failed is None:
            # repo2docker and BinderHub report each failure with a record of its own.
            self.log.failed = False
        message = record.get("message")
        if isinstance(message, str):
            for line in message.splitlines():
                self._add(number, line)

    def _begin_spawn(self) -> None:
        if self.log.kind != "spawn":
            # What a build printed does not explain why a server does not start.
            self.log.kind = "spawn"
            self._clear()

    def _clear(self) -> None:
        self.log.lines.clear()
        self.log.numbers.clear()


def _without_prefix(text: str) -> str:
    match = _CI_PREFIX.match(text)
    return text if match is None else text[match.end() :]


def _record(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
