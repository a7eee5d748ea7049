"""The queue of builds of a server without a durable store, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from ..channels.base import Broadcast
from ..core.build_queue import Ticket, begin, next_ticket

__all__ = ["MemoryTickets"]


class MemoryTickets:
    """Keeps the tickets of builds; see `channels.build_tickets.BuildTickets`."""

    def __init__(self) -> None:
        self._tickets: dict[int, Ticket] = {}
        self._began: dict[str, float] = {}
        self._changed = Broadcast()

    def names(self) -> set[str]:
        """Return the builds that run or wait."""
        return {ticket.build for ticket in self._tickets.values()}

    async def take_turn(self, name: str, *, owner: str, seconds: float, most: int) -> bool:
        """Let a build begin if it may; see `BuildTickets.take_turn`."""
        if name in self._began:
            return True
        if is_new := not any(ticket.build == name for ticket in self._tickets.values()):
            self._add(name, owner, seconds)
        changed = begin(list(self._tickets.values()), name, most)
        if changed:
            self._began[name] = asyncio.get_running_loop().time()
            self._tickets.update((ticket.number, ticket) for ticket in changed)
        if changed or is_new:
            self._changed.notify()
        return bool(changed)

    async def join(self, name: str, *, owner: str) -> None:
        """Let a build have the turns of one more owner; see `BuildTickets.join`."""
        own = [ticket for ticket in self._tickets.values() if ticket.build == name]
        if own and name not in self._began and all(ticket.owner != owner for ticket in own):
            self._add(name, owner, own[0].seconds)
            self._changed.notify()

    async def tickets(self) -> list[Ticket]:
        """Return all tickets; see `BuildTickets.tickets`."""
        now = asyncio.get_running_loop().time()
        return [
            msgspec.structs.replace(ticket, running=now - self._began[ticket.build])
            if ticket.build in self._began
            else ticket
            for ticket in self._tickets.values()
        ]

    def watch(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have a listener called after changes; see `BuildTickets.watch`."""
        self._changed.add(listener)
        return lambda: self._changed.remove(listener)

    def leave(self, name: str) -> None:
        """Remove a build that has ended."""
        own = [ticket.number for ticket in self._tickets.values() if ticket.build == name]
        for number in own:
            del self._tickets[number]
        self._began.pop(name, None)
        if own:
            self._changed.notify()

    def _add(self, name: str, owner: str, seconds: float) -> None:
        tickets = self._tickets.values()
        ticket = next_ticket(tickets, build=name, owner=owner, seconds=seconds)
        self._tickets[ticket.number] = ticket
