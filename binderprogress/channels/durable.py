"""What a store is that outlives its process: it keeps launches, and who runs them.

A **lease** is what is stored of a launch or of a build: its state, which only `launches` reads, and
the replica that owns it. Every change of owner has a higher fencing number. A replica that lost a
lease, such as one that was paused, can change neither the lease nor the channels that belong to it.
"""

from __future__ import annotations

import math
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from .base import ChannelStore
from .build_tickets import BuildTickets
from .shared_logs import SharedLogs
from .shared_rates import SharedRates

__all__ = [
    "WINDOW",
    "ChannelState",
    "DurableStore",
    "Lease",
    "LeaseLimit",
    "Others",
    "replica_name",
]

WINDOW = 256 * 1024
"""Bytes of a channel's newest events that a store keeps in memory until the channel is closed."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A launch or a build, as it is stored.

    Attributes
    ----------
    name : str
        Unique: ``launch.…``, ``build.…``, ``standby.…`` for a server that stands ready,
        ``cleanup.…`` for one still to be removed, or ``leader``, which never ends.
    state : bytes
        What a successor needs to go on. It contains tokens.
    owner : str
        The replica that runs it, or did so last.
    fence : int
        The fencing number: 1 for the first owner, and higher for each further one.
    key : str
        What others find it by while it has not ended; unique. Empty: nothing.
    user : str
        Whose it is. Empty where users do not log in.
    ended : bool
        Whether there is nothing left to do.
    asked : str
        What its owner was asked for last; see `DurableStore.ask`.
    unseen : float
        Seconds since `DurableStore.seen` was called for it. Infinite: never.
    """

    name: str
    state: bytes
    owner: str
    fence: int
    key: str = ""
    user: str = ""
    ended: bool = False
    asked: str = ""
    unseen: float = math.inf


class LeaseLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How many leases there may be that have not ended, in all replicas.

    Attributes
    ----------
    most : int
    prefix : str
        Only those whose names begin with it are counted.
    user, client : str
        If not empty: only those of this user, or of this client.
    """

    most: int
    prefix: str
    user: str = ""
    client: str = ""


class ChannelState(msgspec.Struct, frozen=True):
    """The extent of a channel.

    Attributes
    ----------
    first, last : int
        Numbers of its first and last event; `last` is ``first - 1`` if it is empty.
    closed : bool
    """

    first: int
    last: int
    closed: bool


class Others(msgspec.Struct, frozen=True, kw_only=True):
    """The other replicas that use a store.

    Attributes
    ----------
    replicas : int
        How many are alive.
    launches, builds : int
        How many of theirs have not ended. Those of replicas that are gone count, too.
    """

    replicas: int = 0
    launches: int = 0
    builds: int = 0


def replica_name() -> str:
    """Return a name for this process that no other has: that of its machine, and a suffix."""
    return f"{socket.gethostname()}/{secrets.token_hex(6)}"


@runtime_checkable
class DurableStore(ChannelStore, Protocol):
    """A channel store that keeps launches, too.

    Its channels belong to leases: `create` gets the name of one. Only the owner of the lease can
    append to such a channel, close or discard it; for others, these methods raise `LeaseLostError`
    and change nothing.

    Changes are made in the order in which they are requested, by all methods together. So whoever
    sees a change sees all that were requested before it by the same replica.
    """

    @property
    def replica(self) -> str:
        """The name of this process among all that use the store. No other has ever had it."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether other processes may use the store at the same time."""
        ...

    @property
    def others(self) -> Others:
        """The other replicas, as last counted: a third of the lease time ago at most.

        While the database is away, it stays as it was.
        """
        ...

    @property
    def rates(self) -> SharedRates | None:
        """Counts requests in all replicas. None: no other process uses the store."""
        ...

    @property
    def logs(self) -> SharedLogs | None:
        """Keeps logs of builds for all replicas. None: no other process uses the store."""
        ...

    @property
    def queue(self) -> BuildTickets:
        """The queue of builds."""
        ...

    async def open(self) -> None:
        """Connect, and be a replica until `shutdown`.

        Raises
        ------
        StorageError
            If the store cannot be reached.
        ConfigError
            If it can never be used as it is configured.
        """
        ...

    async def shutdown(self) -> None:
        """Finish what was requested, and stop being a replica. Others may take its leases now."""
        ...

    async def lease(
        self,
        name: str,
        state: bytes,
        *,
        key: str = "",
        user: str = "",
        client: str = "",
        limits: Sequence[LeaseLimit] = (),
    ) -> None:
        """Create a lease, which this replica owns.

        Parameters
        ----------
        name : str
        state : bytes
        key, user : str
            See `Lease`.
        client : str
            What limits of clients count it by. It is forgotten when the lease has ended.
        limits : sequence of LeaseLimit
            Only if the store is shared. No two replicas can take the last place of a limit.

        Raises
        ------
        LeaseTakenError
            If there is one of this name or key.
        LeaseLimitError
            If a limit is reached.
        """
        ...

    async def renew(self, name: str, state: bytes) -> None:
        """Replace the state of a lease.

        Raises
        ------
        LeaseLostError
            If this replica does not own it, or it has ended.
        """
        ...

    async def end(self, name: str, state: bytes, *, expires: float) -> None:
        """Replace the state of a lease for the last time. Its key is free again.

        Parameters
        ----------
        name : str
        state : bytes
        expires : float
            When the lease and its channels may be deleted, in seconds since 1970.

        Raises
        ------
        LeaseLostError
            If this replica does not own it. Ending it again is allowed, to expire later or earlier.
        """
        ...

    async def drop(self, name: str) -> None:
        """Delete a lease and its channels, if this replica owns it."""
        ...

    async def take(self, name: str) -> Lease:
        """Become the owner of a lease that is abandoned or was given to this replica.

        Raises
        ------
        LeaseLostError
            If it is neither, it has ended, or there is none of this name.
        """
        ...

    async def revive(self, name: str) -> Lease:
        """Become the owner of a lease that has ended, and that goes on. It has no key any more.

        Its channels stay as they are: what is closed cannot be written to.

        Raises
        ------
        LeaseLostError
            If it has not ended, or there is none of this name.
        """
        ...

    async def give(self, name: str, replica: str) -> None:
        """Give a lease to another replica, or to this one. Whoever gets it has to take it.

        Raises
        ------
        LeaseLostError
            If this replica does not own it, it has ended, or the other replica is gone.
        """
        ...

    async def claim(self, name: str, *, to: str, state: bytes) -> bool:
        """End a lease of any owner, and replace the state of another one, in one transaction.

        So what the first one stands for belongs to the second one now, and to no other. The
        watchers of both are told.

        Parameters
        ----------
        name : str
        to : str
            A lease of this replica.
        state : bytes
            Its new state.

        Returns
        -------
        bool
            False, and nothing is changed, if the first one has ended or does not exist: another one
            has claimed it.

        Raises
        ------
        LeaseLostError
            If this replica does not own `to`, or it has ended.
        """
        ...

    async def ask(self, name: str, what: str) -> None:
        """Ask the owner of a lease for something, whoever that is. Its watchers are told.

        Raises
        ------
        LeaseLostError
            If it has ended, or there is none of this name.
        """
        ...

    async def seen(self, names: Iterable[str]) -> None:
        """Note that viewers of these launches were here just now."""
        ...

    async def find(self, name: str) -> Lease | None:
        """Return the lease of a name."""
        ...

    async def find_key(self, key: str) -> Lease | None:
        """Return the lease of a key that has not ended."""
        ...

    async def leases(
        self, prefix: str, *, ended: bool | None = None, user: str | None = None
    ) -> list[Lease]:
        """List leases whose names begin with a prefix, the oldest first.

        Parameters
        ----------
        prefix : str
        ended : bool, optional
            Only those that have ended, or have not.
        user : str, optional
            Only those of a user.
        """
        ...

    async def abandoned(self) -> list[Lease]:
        """List the leases that this replica may take, the oldest first.

        They have not ended, and their owner, another replica, is gone or has given them to this
        one.
        """
        ...

    async def describe(self, channel_id: str) -> ChannelState:
        """Return the extent of a channel.

        Raises
        ------
        ChannelNotFoundError
            If there is no such channel.
        """
        ...

    def watch_lease(self, name: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Have a listener called, in the event loop, after a lease has changed or was deleted.

        Several changes may be reported in one call, and one change more than once. Listeners must
        be quick and must not raise.

        Returns
        -------
        callable
            Ends it: the listener is not called any more.
        """
        ...

    def watch_owners(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have a listener called when `abandoned` may have more to list.

        It is not called if a replica was killed: look from time to time.

        Returns
        -------
        callable
            Ends it: the listener is not called any more.
        """
        ...

    def follow(self, ids: Iterable[str], listener: Callable[[], None]) -> Callable[[], None]:
        """Have a listener called after changes of channels that others write, or will create.

        Listeners must be quick and must not raise.

        Returns
        -------
        callable
            Ends it: the listener is not called any more.
        """
        ...

    def extents(self, ids: Iterable[str]) -> Mapping[str, ChannelState] | None:
        """Return the extents of channels that are followed together, as far as they are known.

        If one of them does not exist yet, what is known of the others is from before it was
        created.

        Returns
        -------
        mapping or None
            None if nothing is known yet of some of them. Listeners are called when it is.
        """
        ...
