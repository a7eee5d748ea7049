"""Which commits branches had, as past launches of them show. No host of a repository is asked."""

from __future__ import annotations

import re
from collections import OrderedDict

import msgspec

from ..core.phases import Phase
from ..core.timing.spans import PastLaunch

__all__ = ["Branches", "Seen"]

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

_MOST_BRANCHES = 5000
"""Branches that are remembered. Those that were not launched for the longest time are forgotten."""

_MOST_COMMITS = 8
"""Commits that are remembered of each."""


class Seen(msgspec.Struct, frozen=True, gc=False):
    """That a branch was launched at a commit.

    Attributes
    ----------
    commit : str
    first, last : float
        When the first and the last known launch began, in seconds since 1970.
    """

    commit: str
    first: float
    last: float


class Branches:
    """The commits that branches, tags and other refs had."""

    def __init__(self) -> None:
        self._branches: OrderedDict[tuple[str, str], dict[str, Seen]] = OrderedDict()

    def add(self, past: PastLaunch) -> None:
        """Note the commit of a launch, if it was ready. The order of launches does not matter."""
        commit, began = past.commit, past.began
        # A launch of a commit says nothing about a branch. The version of a record is none.
        if past.outcome is not Phase.READY or past.ref == commit or not _COMMIT.fullmatch(commit):
            return
        branch = (past.repository, past.ref)
        commits = self._branches.setdefault(branch, {})
        known = commits.get(commit, Seen(commit, began, began))
        commits[commit] = Seen(commit, min(known.first, began), max(known.last, began))
        self._branches.move_to_end(branch)
        if len(commits) > _MOST_COMMITS:
            del commits[min(commits, key=lambda commit: commits[commit].last)]
        if len(self._branches) > _MOST_BRANCHES:
            self._branches.popitem(last=False)

    def before(self, repository: str, ref: str, commit: str) -> list[Seen]:
        """Return the commits that a branch had before it had a given one, the newest first.

        Parameters
        ----------
        repository : str
            The address, as in the history.
        ref : str
        commit : str
            Which one. If the branch was not launched at it, all others were before.
        """
        commits = self._branches.get((repository, ref), {})
        wanted = commits.get(commit)
        end = float("inf") if wanted is None else wanted.first
        earlier = [seen for seen in commits.values() if seen.first < end]
        return sorted(earlier, key=lambda seen: seen.first, reverse=True)
