"""How much memory and disk launches may take, and what goes when it is too much.

Attack: without a budget, launch after launch with a long log fills the memory and the disk. Whoever
asks for a launch that is over does not make it stay.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from ..channels.base import Meter
from .build_log import BuildLog
from .launch import Launch

__all__ = ["Budget", "Budgets", "Part"]

_RESERVE = 8
"""One part in so many of a budget is never filled by launches that are over, nor by logs."""

_LOGS = 5 / 8
"""As much of a budget is for logs under way. The rest is for many launches with short ones."""

_SHARE = 2
"""A log under way may take one part in so many of what is left free of that.

So the first ones may be long, and there is always room for one more: no fixed share would do both.
(Known from switches as the dynamic threshold of Choudhury and Hahne, 1998.)
"""

_LEAST = 1024
"""… but always one part in so many of the budget."""

_STEPS = 64
"""A budget is looked at again after one part in so many, or before if less is free."""


class Sized(Protocol):
    """What takes a part of a budget."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...


class Part(Sized, Protocol):
    """The log of a launch under way, which grows."""

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
    held : callable
        Return what a launch takes of it.
    parts : callable
        Return what of this grows, and can be cut.
    """

    def __init__(
        self,
        limit: int,
        *,
        held: Callable[[Launch], Iterable[Sized]],
        parts: Callable[[Launch], Iterable[Part]],
    ) -> None:
        self.meter = Meter(limit)
        self._held = held
        self._parts = parts
        self._logs = int(limit * _LOGS)
        self._least = limit // _LEAST
        self._step = limit // _STEPS
        self._most = limit - limit // _RESERVE
        self.low = self._most - self._step
        """As much is left once launches were forgotten, so that they are not again soon."""
        # What says that logs are cut, and how launches end, has to fit in, too.
        self._full = limit - self._step
        self.meter.alarm = min(self._step, self._most)

    @property
    def is_over(self) -> bool:
        """Whether there is no room for another launch."""
        return self.meter.used > self._most

    def cut(self, under_way: Collection[Launch]) -> None:
        """Cut logs of launches under way that take too much, and say when to look again."""
        held = {id(one): one for launch in under_way for one in self._held(launch)}
        free = self._logs - sum(one.size for one in held.values())
        most = max(free // _SHARE, self._least)
        parts = {id(part): part for launch in under_way for part in self._parts(launch)}
        is_full = self.meter.used > self._full
        for part in parts.values():
            if not part.is_cut and (is_full or part.size > most):
                part.cut()
        used = self.meter.used
        self.meter.alarm = used + min(max(most // 4, self._least // 4), self._step)
        for limit in (self._most, self._full):
            if used <= limit:
                self.meter.alarm = min(self.meter.alarm, limit)


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
        under_way: Callable[[], Collection[Launch]],
        forget: Callable[[Launch], None],
    ) -> None:
        self.memory = Budget(
            memory, held=lambda launch: launch.held, parts=lambda launch: launch.writers
        )
        self.disk = Budget(disk, held=_full_log, parts=_full_log)
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
        for budget in (self.memory, self.disk):
            if budget.is_over:
                for launch in list(self._over.values()):
                    # Without a build it takes nothing of the disk.
                    if budget is self.memory or launch.build is not None:
                        self._forget(launch)
                    if budget.meter.used <= budget.low:
                        break
        under_way = self._under_way()
        self.memory.cut(under_way)
        self.disk.cut(under_way)


def _full_log(launch: Launch) -> list[BuildLog]:
    return [launch.build.full_log] if launch.build is not None else []
