"""Lets builds wait until they may begin, and says what place in the queue they have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from ..channels.build_tickets import BuildTickets
from ..core.build_queue import Place, Ticket, places
from .ledger import Ledger
from .memory_tickets import MemoryTickets

__all__ = ["BuildQueue"]

_LOOK = 10.0
"""Seconds after which a build that waits looks again, although it heard of no change."""


class BuildQueue:
    """The queue of builds, in all replicas that share the store.

    Parameters
    ----------
    ledger : Ledger
    most : int
        Maximum number of builds that run. 0: any number.
    """

    def __init__(self, ledger: Ledger, *, most: int) -> None:
        self._ledger = ledger
        self._most = most
        self._memory = MemoryTickets()
        self._waiting: set[str] = set()
        self._reading: asyncio.Task[Sequence[Ticket]] | None = None
        """Reads the tickets for all that wait here; None: they have changed."""

    def __len__(self) -> int:
        """Return the number of builds that wait here."""
        return len(self._waiting)

    @property
    def _tickets(self) -> BuildTickets:
        store = self._ledger.store
        return self._memory if store is None else store.queue

    async def places(
        self, lease: str, *, owners: Sequence[str], seconds: float
    ) -> AsyncGenerator[Place, None]:
        """Yield the place of a build whenever it changes, until the build may begin.

        Parameters
        ----------
        lease : str
            Of the build.
        owners : sequence of str
            The users or clients whose launches need it: at least one, more before it has a place.
        seconds : float
            How long the build is expected to take.

        Raises
        ------
        StorageError
            If the store is away for too long, or another replica has the lease.
        """
        if not self._most:
            return
        tickets, position, known = self._tickets, 0, 1
        changed = asyncio.Event()

        def hear() -> None:
            self._reading = None
            changed.set()

        unwatch = tickets.watch(hear)
        try:
            while not await self._ledger.ask(
                lambda: tickets.take_turn(lease, owner=owners[0], seconds=seconds, most=self._most)
            ):
                self._waiting.add(lease)
                self._reading = None
                while (place := await self._place(lease, changed)) and not place.is_next:
                    if place.position != position:
                        position = place.position
                        while known < len(owners):
                            known += 1
                            await self.join(lease, owner=owners[known - 1])
                        # Nothing is awaited in between: who joins now sees that it has a place.
                        yield place
                    await self._wait(changed)
        finally:
            unwatch()
            self._forget(lease)

    async def join(self, lease: str, *, owner: str) -> None:
        """Let a build that waits have the turns of one more owner.

        Raises
        ------
        StorageError
            If the store is away for too long.
        """
        if self._most:
            await self._ledger.ask(lambda: self._tickets.join(lease, owner=owner))

    def leave(self, lease: str) -> None:
        """Note that a build has ended. A durable store knows from the end of its lease."""
        self._memory.leave(lease)

    async def _place(self, lease: str, changed: asyncio.Event) -> Place | None:
        changed.clear()
        if self._reading is None or _failed(self._reading):
            work = self._ledger.ask(self._tickets.tickets)
            self._reading = asyncio.create_task(work, name="queue of builds")
        # Shielded, because others wait for it, too.
        tickets = await asyncio.shield(self._reading)
        return places(tickets, self._most).get(lease)

    async def _wait(self, changed: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(_LOOK):
                await changed.wait()
        except TimeoutError:
            self._reading = None

    def _forget(self, lease: str) -> None:
        self._waiting.discard(lease)
        if not self._waiting and self._reading is not None:
            self._reading.cancel()
            self._reading = None


def _failed(task: asyncio.Task[Sequence[Ticket]]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
