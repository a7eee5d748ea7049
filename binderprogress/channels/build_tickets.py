"""What a store of tickets is: the queue of builds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..core.build_queue import Ticket

__all__ = ["BuildTickets"]


class BuildTickets(Protocol):
    """The queue of builds: which ones run, and which ones wait, in all replicas.

    Tickets of a build are removed when its lease ends.
    """

    async def take_turn(self, name: str, *, owner: str, seconds: float, most: int) -> bool:
        """Let a build begin if it may. Otherwise, it waits in the queue. Ask again after changes.

        Parameters
        ----------
        name : str
            Of its lease.
        owner : str
            Whose turn it may take, if it is not in the queue yet: a user or a client.
        seconds : float
            How long it is expected to take.
        most : int
            Maximum number of builds that run.

        Returns
        -------
        bool
            Whether it begins, or began before.

        Raises
        ------
        LeaseLostError
            If this replica does not own the lease, or it has ended.
        """
        ...

    async def join(self, name: str, *, owner: str) -> None:
        """Let a build that waits have the turns of one more owner, too."""
        ...

    async def tickets(self) -> Sequence[Ticket]:
        """Return all tickets."""
        ...

    def watch(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have a listener called, in the event loop, after changes. It must be quick.

        Returns
        -------
        callable
            Ends it: the listener is not called any more.
        """
        ...
