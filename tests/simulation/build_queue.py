"""The queue of builds in a simulated database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from binderprogress.core.build_queue import Ticket

from ..support.durable import DurableTickets

if TYPE_CHECKING:
    from .store import SimulatedStore

__all__ = ["QUEUE", "SimulatedTickets"]

QUEUE = "builds"
"""What stands for the queue where replicas tell each other of changes."""


class SimulatedTickets(DurableTickets):
    """One replica's view of the queue; see `channels.build_tickets.BuildTickets`."""

    store: SimulatedStore

    async def take_turn(self, name: str, *, owner: str, seconds: float, most: int) -> bool:
        base = super()
        done: bool = await self.store.change_queue(
            lambda: base.take_turn(name, owner=owner, seconds=seconds, most=most)
        )
        return done

    async def join(self, name: str, *, owner: str) -> None:
        base = super()
        await self.store.change_queue(lambda: base.join(name, owner=owner))

    async def tickets(self) -> Sequence[Ticket]:
        tickets: Sequence[Ticket] = await self.store.read_queue(super().tickets)
        return tickets

    def watch(self, listener: Callable[[], None]) -> Callable[[], None]:
        return self.store.watch_lease(QUEUE, listener)
