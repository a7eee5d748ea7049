"""How much memory and disk launches may take, and what goes when it is too much.

Attack: without a budget, launch after launch with a long log fills the memory and the disk. Whoever
asks for a launch that is over does not make it stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from ..channels.base import Meter
from .launch import Launch

__all__ = ["Budget", "Budgets", "Part"]

_RESERVE = 8
"""One part in so many of a budget is for launches that are under way, and is not filled before."""

_STEPS = 64
"""Where nothing can be given back, the budget is looked at again after one part in so many."""


class Part(Protocol):
    """What a launch under way adds to."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def is_cut(self) -> bool:
        """Whether it takes nothing more."""
        ...

    def cut(self) -> None:
        """Have it take nothing more."""
        ...


class Budget:
    """One of the two.

    Parameters
    ----------
    limit : int
        Bytes.
    parts : callable
        Return what a launch adds to.
    """

    def __init__(self, limit: int, parts: Callable[[Launch], Iterable[Part]]) -> None:
        self.meter = Meter(limit)
        self.parts = parts
        self._most = limit - limit // _RESERVE
        # What says that logs are cut, and how launches end, has to fit in, too.
        self._full = limit - limit // _STEPS
        self.meter.alarm = self._most

    @property
    def is_over(self) -> bool:
        """Whether there is room for launches under way only."""
        return self.meter.used > self._most

    def cut(self, under_way: Iterable[Launch]) -> None:
        """End what launches under way add to: the largest first, and all where that is too little.

        Their share is the same for all, so that one long log does not end those of others.
        """
        parts = list({id(part): part for one in under_way for part in self.parts(one)}.values())
        share = self._most // max(len(parts), 1)
        everything = self.meter.used > self._full
        for part in parts:
            if not part.is_cut and (everything or part.size > share):
                part.cut()

    def set_alarm(self) -> None:
        """Have `Meter.alarm` go off when there is something to do again."""
        self.meter.alarm = self._most
        if self.is_over:
            soon = self.meter.used + self.meter.limit // _STEPS
            self.meter.alarm = min(soon, self._full) if self.meter.used <= self._full else soon


class Budgets:
    """Memory for events and disk for full logs, and the launches that are over and take them.

    Parameters
    ----------
    memory, disk : int
        Bytes.
    under_way : callable
        Return the launches that are not over.
    forget : callable
        Forget a launch that is over; it calls `drop`.
    """

    def __init__(
        self,
        *,
        memory: int,
        disk: int,
        under_way: Callable[[], Iterable[Launch]],
        forget: Callable[[Launch], None],
    ) -> None:
        self.memory = Budget(memory, lambda launch: launch.writers)
        self.disk = Budget(
            disk, lambda launch: [launch.build.full_log] if launch.build is not None else []
        )
        self._under_way = under_way
        self._forget = forget
        self._over: dict[str, Launch] = {}

    def __len__(self) -> int:
        """Return how many launches are over and kept."""
        return len(self._over)

    def keep(self, launch: Launch) -> None:
        """Keep a launch that is over as long as there is room for it."""
        self._over[launch.id] = launch
        self.make_room()

    def drop(self, launch: Launch) -> None:
        """Leave a launch alone that is forgotten."""
        self._over.pop(launch.id, None)

    def grew(self) -> None:
        """Make room if there is none; called with every line, and quick."""
        memory, disk = self.memory.meter, self.disk.meter
        if memory.used > memory.alarm or disk.used > disk.alarm:
            self.make_room()

    def make_room(self) -> None:
        """Forget launches that are over, the oldest first; then cut the logs of those that run."""
        for launch in list(self._over.values()) if self.memory.is_over else []:
            if self.memory.is_over:
                self._forget(launch)
        for launch in list(self._over.values()) if self.disk.is_over else []:
            if self.disk.is_over and launch.build is not None:
                self._forget(launch)
        for budget in (self.memory, self.disk):
            if budget.is_over:
                budget.cut(self._under_way())
            budget.set_alarm()
