"""Launches that have left a build, whose ends may not be stored yet."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

from ..errors import StorageError

__all__ = ["Leaver", "Leaving"]


class Leaver(Protocol):
    """A launch."""

    @property
    def closed(self) -> bool:
        """Whether its end is stored."""
        ...

    async def flush(self) -> None:
        """Wait until its events are stored."""
        ...


class Leaving:
    """Keeps a build that nobody waits for from ending before its launches do.

    If this process ended between the two, the next one would see launches that go on, with a build
    that has ended without a result.
    """

    def __init__(self) -> None:
        self._launches: list[Leaver] = []

    def add(self, launch: Leaver) -> None:
        """Add a launch that has left."""
        self._launches = [one for one in self._launches if not one.closed]
        self._launches.append(launch)

    async def stored(self) -> None:
        """Wait until the ends of all are stored, or cannot be."""
        launches, self._launches = self._launches, []
        for launch in launches:
            with suppress(StorageError):
                await launch.flush()
