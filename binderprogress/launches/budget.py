"""Budgets for the memory and disk space of launches, and what is freed when they are exceeded.

Attack: without a budget, many launches with long logs fill the memory and the disk. Requests for
finished launches do not keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from ..channels.base import Meter
from ..errors import TooManyRequestsError
from .build_log import BuildLog
from .launch import Launch

__all__ = ["Budget", "Budgets", "Part"]

_RESERVE = 8
"""This fraction (1/8) of a budget is reserved: finished launches and logs do not use it."""

_LOGS = 5 / 8
"""Share of a budget for the logs of running builds. The rest is for launches with short logs."""

_SHARE = 2
"""The log of a running build may use this fraction (1/2) of what is free of that share.

The first logs may thus be long, and there is always room for another one. A fixed share cannot do
both. (Network switches call this a dynamic threshold: Choudhury and Hahne, 1998.)
"""

_LEAST = 1024
"""… but always at least this fraction (1/1024) of the budget."""

_STEPS = 64
"""A budget is checked again after this fraction (1/64) was used, or earlier if less is free."""


class Sized(Protocol):
    """What uses a budget."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...


class Part(Sized, Protocol):
    """The log of a running launch, which grows."""

    @property
    def is_cut(self) -> bool:
        """Whether it was cut."""
        ...

    def cut(self) -> None:
        """Stop it from growing."""
        ...


class Budget:
    """One budget: memory or disk.

    Parameters
    ----------
    limit : int
        Bytes.
    held : callable
        Return what a launch uses of it.
    parts : callable
        Return the growing parts of a launch, which can be cut.
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
        """Launches are forgotten down to this, so that the next ones are not forgotten soon."""
        # Leaves room for the notes about cut logs, and for the last events of launches.
        self._full = limit - self._step
        self.meter.alarm = min(self._step, self._most)

    @property
    def is_over(self) -> bool:
        """Whether there is no room for another launch."""
        return self.meter.used > self._most

    def cut(self, under_way: Collection[Launch]) -> None:
        """Cut logs of running launches that are too long, and set when to check again."""
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
    """The budgets for memory and disk, and the finished launches that use them.

    Parameters
    ----------
    memory, disk : int
        Bytes.
    under_way : callable
        Return the running launches.
    forget : callable
        Forget a finished launch. It calls `drop`.
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
        """Return the number of finished launches that are kept."""
        return len(self._over)

    def keep(self, launch: Launch) -> None:
        """Keep a finished launch as long as there is room for it."""
        self._over[launch.id] = launch
        self.make_room()

    def drop(self, launch: Launch) -> None:
        """Remove a launch that was forgotten."""
        self._over.pop(launch.id, None)

    def grew(self) -> None:
        """Make room if needed. This is called with every line, and is quick."""
        memory, disk = self.memory.meter, self.disk.meter
        if memory.used > memory.alarm or disk.used > disk.alarm:
            self.make_room()

    def check(self) -> None:
        """Check whether there is memory for another launch.

        Raises
        ------
        TooManyRequestsError
            If there is none.
        """
        self.make_room()
        if self.memory.is_over:
            raise TooManyRequestsError(
                "This server's memory is full with the logs of running launches. "
                "Try again in a minute.",
                retry_after=60,
            )

    def make_room(self) -> None:
        """Forget finished launches, the oldest first. Then cut the logs of running ones."""
        for budget in (self.memory, self.disk):
            if budget.is_over:
                for launch in list(self._over.values()):
                    # Without a build, a launch uses no disk space.
                    if budget is self.memory or launch.build is not None:
                        self._forget(launch)
                    if budget.meter.used <= budget.low:
                        break
        under_way = self._under_way()
        self.memory.cut(under_way)
        self.disk.cut(under_way)


def _full_log(launch: Launch) -> list[BuildLog]:
    return [launch.build.full_log] if launch.build is not None else []
