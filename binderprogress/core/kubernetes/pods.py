"""Reads the state of a build pod, and the events that Kubernetes records about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

__all__ = [
    "END_REASONS",
    "PodEnd",
    "PodState",
    "event_line",
    "involved_uid",
    "read_state",
    "server_of",
]

PodEnd = Literal["succeeded", "failed", "out-of-memory", "evicted", "timeout", "deleted"]
"""How a pod has ended."""

END_REASONS: Mapping[PodEnd, str] = {
    "failed": "build-failed",
    "out-of-memory": "out-of-memory",
    "evicted": "evicted",
    "timeout": "build-timeout",
    "deleted": "build-interrupted",
}
"""The reasons of failures; see `core.log.reasons`."""

# Of the pod. The kubelet and the controllers set these.
_POD_ENDS: Mapping[str, PodEnd] = {
    "Evicted": "evicted",
    "Preempting": "evicted",
    "NodeLost": "evicted",
    "NodeShutdown": "evicted",
    "Terminated": "evicted",
    "DeadlineExceeded": "timeout",
}
# Of a container that waits. Kubernetes does not try again with another result.
_HOPELESS = {"InvalidImageName", "ErrImageNeverPull"}
_STUCK = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "RegistryUnavailable",
    "RunContainerError",
    *_HOPELESS,
}


class PodState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a pod with one container that matters.

    Attributes
    ----------
    uid : str
    is_scheduled : bool
        Whether it has a node.
    has_log : bool
        Whether the container has been started.
    end : str or None
        How it has ended; None while it has not.
    problem : str
        What keeps it from starting, in the words of Kubernetes; empty if nothing does.
    is_hopeless : bool
        Whether no further attempt of Kubernetes can help.
    message : str
        Why it has ended, in the words of Kubernetes.
    exit_code : int
        Of the container, if it has ended; else 0.
    grace : float or None
        If it is being deleted: the seconds that its processes have to end.
    """

    uid: str = ""
    is_scheduled: bool = False
    has_log: bool = False
    end: PodEnd | None = None
    problem: str = ""
    is_hopeless: bool = False
    message: str = ""
    exit_code: int = 0
    grace: float | None = None


def read_state(pod: Mapping[str, Any], container: str) -> PodState:
    """Read the state of a pod.

    Parameters
    ----------
    pod : mapping
        The object as the API server sends it.
    container : str
        The name of the container that matters.
    """
    status = _mapping(pod.get("status"))
    state = _container_state(status, container)
    waiting, terminated = _mapping(state.get("waiting")), _mapping(state.get("terminated"))
    waits_for = str(waiting.get("reason") or "")
    is_stuck = waits_for in _STUCK
    end, message = _end(status, terminated)
    metadata = _mapping(pod.get("metadata"))
    return PodState(
        uid=str(metadata.get("uid") or ""),
        is_scheduled=bool(_mapping(pod.get("spec")).get("nodeName")),
        has_log="running" in state or bool(terminated),
        end=end,
        problem=f"{waits_for}: {waiting.get('message') or ''}".strip(": ") if is_stuck else "",
        is_hopeless=waits_for in _HOPELESS,
        message=message,
        exit_code=_number(terminated.get("exitCode")),
        grace=_grace(metadata),
    )


def _grace(metadata: Mapping[str, Any]) -> float | None:
    if not metadata.get("deletionTimestamp"):
        return None
    return float(_number(metadata.get("deletionGracePeriodSeconds")))


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _end(status: Mapping[str, Any], terminated: Mapping[str, Any]) -> tuple[PodEnd | None, str]:
    phase = status.get("phase")
    reason = str(terminated.get("reason") or "")
    message = str(status.get("message") or terminated.get("message") or "").strip()
    # A child of the container's first process may have been killed, which then exits with 0.
    if reason == "OOMKilled":
        return "out-of-memory", message
    if phase == "Failed":
        return _POD_ENDS.get(str(status.get("reason") or ""), "failed"), message
    if phase == "Succeeded":
        return "succeeded", message
    return None, message


def _container_state(status: Mapping[str, Any], container: str) -> Mapping[str, Any]:
    statuses = status.get("containerStatuses")
    for each in statuses if isinstance(statuses, list) else ():
        if _mapping(each).get("name") == container:
            return _mapping(each.get("state"))
    return {}


def event_line(event: Mapping[str, Any]) -> str:
    """Return an event as a line of a log, as KubeSpawner writes it: time, type and message."""
    time = event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp") or ""
    message = str(event.get("message") or event.get("reason") or "").strip()
    return f"{time} [{event.get('type') or 'Normal'}] {message}".strip() + "\n"


def involved_uid(event: Mapping[str, Any]) -> str:
    """Return the uid of what an event is about; empty if it does not say."""
    return str(_mapping(event.get("involvedObject")).get("uid") or "")


def server_of(pod: Mapping[str, Any]) -> tuple[str, str]:
    """Return whose server runs in a pod of KubeSpawner, and its name, as JupyterHub knows them.

    Both are empty if it is no such pod. The name of a default server is empty.
    """
    annotations = _mapping(_mapping(pod.get("metadata")).get("annotations"))
    prefix = "hub.jupyter.org/"
    user, server = annotations.get(f"{prefix}username"), annotations.get(f"{prefix}servername")
    return str(user or ""), str(server or "")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
