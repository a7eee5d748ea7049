"""Decides when to try again what has failed."""

from __future__ import annotations

from collections.abc import Mapping, Set

import msgspec

__all__ = ["Backoff", "Failure"]

_FIRST, _LONGEST = 60.0, 3600.0


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What has failed several times in a row.

    Attributes
    ----------
    count : int
    until : float
        When it may be tried again, in seconds.
    message : str
        Why the last attempt failed.
    """

    count: int
    until: float
    message: str


class Backoff:
    """The failures of things that have a name. Each one doubles the pause, up to an hour."""

    def __init__(self) -> None:
        self._failures: dict[str, Failure] = {}

    @property
    def failures(self) -> Mapping[str, Failure]:
        """What has failed since it last succeeded, by name."""
        return self._failures

    def failed(self, name: str, message: str, now: float) -> None:
        """Note that something has failed. `now` is in seconds."""
        before = self._failures.get(name)
        count = before.count + 1 if before is not None else 1
        pause = min(_FIRST * 2.0 ** (count - 1), _LONGEST)
        self._failures[name] = Failure(count=count, until=now + pause, message=message)

    def succeeded(self, name: str) -> None:
        """Note that something has succeeded."""
        self._failures.pop(name, None)

    def keep(self, names: Set[str]) -> None:
        """Forget all others than these."""
        self._failures = {name: each for name, each in self._failures.items() if name in names}

    def waiting(self, now: float) -> Set[str]:
        """Return what is not to be tried yet. `now` is in seconds."""
        return {name for name, failure in self._failures.items() if failure.until > now}

    def next(self, now: float) -> float | None:
        """Return when something may be tried again, in seconds; None if nothing waits."""
        return min(
            (each.until for each in self._failures.values() if each.until > now), default=None
        )
