"""Finds an earlier version of a repository that can be launched while the newest one is built."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ..backends.base import AnyBackend, Environment, Finder, ResolvedSpec
from ..core.events import Earlier
from .branches import Seen

__all__ = ["earlier_message", "find_earlier"]

_MOST_LOOKED_FOR = 3
"""Commits whose environments are looked for, the newest first."""


async def find_earlier(
    backend: AnyBackend, resolved: ResolvedSpec, commits: Sequence[Seen]
) -> Earlier | None:
    """Return the newest earlier version whose environment exists; None if there is none.

    Parameters
    ----------
    backend : Backend
    resolved : ResolvedSpec
        The version that has to be built.
    commits : sequence of Seen
        The commits that its branch had before, the newest first; see `Branches.before`.

    Raises
    ------
    LaunchFailedError
        If environments cannot be looked up.
    """
    if not (backend.profile.finds and isinstance(backend, Finder)):
        return None
    for seen in commits[:_MOST_LOOKED_FOR]:
        version = resolved.at(seen.commit)
        if version is not None and (found := await backend.find(version)) is not None:
            return _earlier(version, found, seen)
    return None


def _earlier(version: ResolvedSpec, found: Environment, seen: Seen) -> Earlier:
    spec, commit = str(version.spec), version.commit
    if found.committed is not None:
        return Earlier(spec=spec, commit=commit, date=found.committed, date_of="commit")
    if found.built is not None:
        return Earlier(spec=spec, commit=commit, date=found.built, date_of="build")
    return Earlier(spec=spec, commit=commit, date=seen.last, date_of="launch")


_DATES = {
    "commit": "The version of {date} (commit {commit}) is built already.",
    "build": "Commit {commit}, which was built on {date}, is an earlier version.",
    "launch": "Commit {commit}, which was last launched on {date}, is an earlier version.",
}


def earlier_message(earlier: Earlier) -> str:
    """Return the line of the log that offers an earlier version."""
    date = f"{datetime.fromtimestamp(earlier.date, UTC):%Y-%m-%d %H:%M} UTC"
    what = _DATES[earlier.date_of].format(date=date, commit=earlier.commit[:8])
    return f"{what} To use it meanwhile, launch {earlier.spec}\n"
