"""Which build pods and placeholders nobody needs any more."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec

from .placeholders import BUILD

__all__ = ["LEFTOVERS", "Leftover", "Rules", "leftover"]

Leftover = Literal["finished", "aged", "orphaned"]
"""Why a pod is removed."""

LEFTOVERS: tuple[Leftover, ...] = get_args(Leftover)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """When pods are removed.

    Attributes
    ----------
    installation : str
        The installation whose pods are removed if no launch wants them.
    finished_after : float
        Seconds for which whoever follows a pod that has ended may still read its log.
    aged_after : float
        Seconds after which a pod has been running for too long. 0: never.
    """

    installation: str
    finished_after: float
    aged_after: float


def leftover(
    pod: Mapping[str, Any], rules: Rules, *, wanted: Collection[str] | None, now: float
) -> Leftover | None:
    """Return why a build pod or a placeholder is to be removed; None: it is not.

    A placeholder is wanted as long as the build is that its server waits for.

    Parameters
    ----------
    pod : mapping
        The object as the API server sends it.
    rules : Rules
    wanted : collection of str or None
        Names of the pods that builds of this installation use. None: that is not known.
    now : float
        Seconds since 1970.
    """
    metadata = pod["metadata"]
    annotations = metadata.get("annotations") or {}
    needed_for = annotations.get(BUILD) or metadata["name"]
    if needed_for in (wanted or ()) or metadata.get("deletionTimestamp"):
        return None
    age = now - _seconds(metadata.get("creationTimestamp"), now)
    status = pod.get("status") or {}
    if status.get("phase") in {"Succeeded", "Failed"}:
        is_over = now - _end(status, now - age) > rules.finished_after
        return "finished" if is_over else None
    if rules.aged_after and age > rules.aged_after:
        # A BinderHub removes its own then, too, so this one is gone.
        return "aged"
    is_ours = annotations.get("binderprogress/installation") == rules.installation
    return "orphaned" if is_ours and wanted is not None else None


def _end(status: Mapping[str, Any], otherwise: float) -> float:
    """Return when the last container has ended."""
    ends = [
        _seconds(((container.get("state") or {}).get("terminated") or {}).get("finishedAt"), 0.0)
        for container in status.get("containerStatuses") or ()
    ]
    return max(ends, default=0.0) or otherwise


def _seconds(stamp: Any, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except (TypeError, ValueError):
        return otherwise
