"""The progress stream of a JupyterHub, whose events have no ids.

After a reconnect, JupyterHub replays the stream from the start, and after the spawn has ended it
sends only the last event. `Replay` finds the events that are new.
"""

from __future__ import annotations

import json
from collections import Counter
from hashlib import blake2b
from typing import Any

from ...core.log.diagnosis import diagnose
from ...core.log.reader import clean, pod_of
from ...core.log.reasons import failure
from ...core.redact import redact
from ...errors import LaunchFailedError, StreamError

__all__ = [
    "LONGEST_EVENT",
    "LONGEST_MESSAGE",
    "NotStartingError",
    "Pods",
    "Replay",
    "SpawnFailedError",
    "error_message",
    "not_the_api",
    "progress_event",
    "retry_after",
    "servers_of_user",
    "spawn_failure",
]

LONGEST_MESSAGE = 4096
"""Maximum number of characters of an error message."""

LONGEST_EVENT = 2**20
"""Maximum size of an event in bytes; those of KubeSpawner have a few kilobytes.

Attack: a line or an event that does not end.
"""

# Attack: a stream that does not end. The digest of each event is kept.
_MOST_EVENTS = 100_000


class SpawnFailedError(Exception):
    """One attempt to start a server failed. Another one may succeed."""


class NotStartingError(Exception):
    """JupyterHub answered that there is no progress to follow.

    It also answers this while it cleans up after a failed spawn, before it reports the failure.
    """


class Replay:
    """Finds the new events in a stream that starts again with each connection."""

    def __init__(self) -> None:
        self._seen: Counter[bytes] = Counter()
        self._current: Counter[bytes] = Counter()

    def restart(self) -> None:
        """Begin a new connection."""
        self._current.clear()

    def is_new(self, record: dict[str, Any]) -> bool:
        """Whether this connection has sent an event more often than all earlier ones.

        Raises
        ------
        LaunchFailedError
            If there were too many events.
        """
        key = blake2b(json.dumps(record, sort_keys=True).encode(), digest_size=16).digest()
        self._current[key] += 1
        if len(self._seen) >= _MOST_EVENTS:
            raise failure(
                "spawn-failed", f"JupyterHub sent more than {_MOST_EVENTS:,} events for one server."
            )
        if self._current[key] <= self._seen[key]:
            return False
        self._seen[key] += 1
        return True


class Pods:
    """The pods of a server, one for each attempt to start it.

    A JupyterHub that was restarted sends the events of all pods of the same name.
    """

    def __init__(self) -> None:
        self._earlier: set[str] = set()
        self._current: set[str] = set()

    def begin_attempt(self) -> None:
        """Begin the next attempt, which has another pod."""
        self._earlier |= self._current
        self._current.clear()

    def is_earlier(self, record: dict[str, Any]) -> bool:
        """Whether a progress event is about the pod of an earlier attempt."""
        pod = pod_of(record)
        if pod in self._earlier:
            return True
        if pod:
            self._current.add(pod)
        return False


def progress_event(data: str) -> dict[str, Any]:
    """Decode the data of a progress event.

    Raises
    ------
    StreamError
        If it is not a JSON object.
    """
    try:
        record = clean(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise StreamError("JupyterHub sent an event that is not JSON.") from error
    if not isinstance(record, dict):
        raise StreamError("JupyterHub sent an event that is not an object.")
    return record


def error_message(body: str) -> str:
    """Return the message in a JSON error of JupyterHub, or the beginning of another body."""
    try:
        content = clean(json.loads(body))
    except (ValueError, RecursionError):
        return redact(body)[:200]
    message = content.get("message") if isinstance(content, dict) else None
    return redact(str(message or ""))[:LONGEST_MESSAGE]


def servers_of_user(body: str) -> dict[str, Any]:
    """Return the servers in JupyterHub's model of a user.

    Raises
    ------
    LaunchFailedError
        If it is not such a model.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    servers = content.get("servers", {}) if isinstance(content, dict) else None
    if not isinstance(servers, dict):
        raise not_the_api()
    return servers


def not_the_api() -> LaunchFailedError:
    """Return the error for an answer that is not one of JupyterHub's API."""
    return failure("hub-unreachable", "The server at JupyterHub's address is not its API.")


def spawn_failure(message: str) -> LaunchFailedError:
    """Return the error for a spawn that failed with a message."""
    message = redact(message)
    diagnosis = diagnose([message], otherwise="spawn-failed", kind="spawn")
    if diagnosis.rule:
        return diagnosis.error()
    # The output of the server may follow.
    sentence = message.removeprefix("Spawn failed: ").strip().partition("\n")[0].rstrip(".")
    return diagnosis.error(f"The server could not be started: {sentence}.")


def retry_after(text: str | None) -> float:
    """Return the seconds of a ``Retry-After`` header; 0 if it is missing or invalid."""
    # Attack: digits that float() does not accept, or so many that the result is infinite.
    return float(text) if text and text.isdecimal() and len(text) < 10 else 0.0
