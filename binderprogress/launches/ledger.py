"""Stores what a successor needs to go on with launches and builds, if the store outlives us."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from ..backends.codec import Codec
from ..channels.base import ChannelStore
from ..channels.durable import DurableStore, Lease, LeaseLimit
from ..errors import ConfigError, LeaseLostError, StorageError
from .retries import Waiting, while_away

__all__ = ["AnyCodec", "Leased", "Ledger", "Running"]

AnyCodec = Codec[Any, Any, Any]

_T = TypeVar("_T")

_START_PATIENCE = 60.0
"""Maximum seconds for which a server that starts waits for its store."""


class Leased(Protocol):
    """A launch or a build."""

    @property
    def lease(self) -> str:
        """The name of its lease."""
        ...

    def stored(self, codec: AnyCodec, *, ended: bool = False) -> bytes:
        """Return the state for its lease."""
        ...


class Running(Leased, Protocol):
    """A launch or a build that runs here."""

    is_lost: bool
    """Whether another replica has it now: nothing more of it is to be stored here."""


class Ledger:
    """Writes the leases of launches and builds. Without a durable store, it does nothing.

    Parameters
    ----------
    store : ChannelStore or None
    codec : Codec or None
        Encodes what the backend needs; None: it cannot go on with launches after a restart.
    patience : float
        Seconds for which the store may be away.
    log : logging.Logger

    Raises
    ------
    ConfigError
        If the store is a durable one, and there is no codec.
    """

    def __init__(
        self,
        store: ChannelStore | None,
        codec: AnyCodec | None,
        *,
        patience: float,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.store: DurableStore | None = None
        """The store, if it is a durable one."""
        self._codec = codec
        if isinstance(store, DurableStore):
            if codec is None:
                raise ConfigError(
                    "Launches cannot be stored in a database: this backend has no codec, so no "
                    'server could go on with them. Set c.Storage.url = "memory".'
                )
            self.store = store
        self._patience = patience
        self._log = log
        self.waiting = Waiting()
        """What waits for the store."""
        self._opened = asyncio.Event()
        self._later: set[asyncio.Task[None]] = set()
        """What is stored in the background."""

    async def open(self) -> None:
        """Open the store. A database may start at the same time as this server.

        Raises
        ------
        StorageError
            If it cannot be reached for a minute.
        ConfigError
            If it can never be used as it is configured.
        """
        if (store := self.store) is not None:
            await self._try(store.open, patience=min(self._patience, _START_PATIENCE))
            self._opened.set()

    async def close(self) -> None:
        """Close the store, if it is open. Others may go on with what has not ended."""
        if self.store is not None and self._opened.is_set():
            for task in self._later:
                task.cancel()
            self._opened.clear()
            await self.store.shutdown()

    async def opened(self) -> None:
        """Wait until the store is open, if there is one."""
        if self.store is not None:
            await self._opened.wait()

    @property
    def codec(self) -> AnyCodec:
        """The backend's codec, where launches are stored."""
        assert self._codec is not None  # noqa: S101 - there is a store only with a codec
        return self._codec

    async def begin(
        self,
        one: Leased,
        *,
        key: str = "",
        user: str = "",
        client: str = "",
        limits: Sequence[LeaseLimit] = (),
        patient: bool = True,
    ) -> None:
        """Store a new launch or build, before its first event. Wait until the store is open.

        Parameters
        ----------
        one : Launch or Build
        key, user, client : str
        limits : sequence of LeaseLimit
            See `DurableStore.lease`.
        patient : bool
            Whether to wait for a store that is away.

        Raises
        ------
        LeaseLimitError
            If a limit is reached.
        StorageError
            If it cannot be stored.
        """
        if (store := self.store) is not None:
            await self.opened()
            state = one.stored(self.codec)
            patience = self._patience if patient else 0.0
            await self._try(
                lambda: store.lease(
                    one.lease, state, key=key, user=user, client=client, limits=limits
                ),
                patience=patience,
            )

    @property
    def replica(self) -> str:
        """The name of this replica. Empty without a durable store."""
        return self.store.replica if self.store is not None else ""

    @property
    def is_shared(self) -> bool:
        """Whether there may be other replicas."""
        return self.store is not None and self.store.is_shared

    async def find(self, name: str, *, patient: bool = False) -> Lease | None:
        """Return the lease of a launch or build.

        Parameters
        ----------
        name : str
        patient : bool
            Whether to wait for a store that is away.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        if (store := self.store) is None:
            return None
        if patient:
            return await self.ask(lambda: store.find(name))
        await self.opened()
        return await store.find(name)

    async def leases(self, prefix: str, *, user: str) -> list[Lease]:
        """List the leases of a user whose names begin with a prefix, the oldest first.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        if self.store is None:
            return []
        await self.opened()
        return await self.store.leases(prefix, user=user)

    async def owner(self, name: str) -> str:
        """Return the other replica that runs a launch or build. Empty: there is none.

        Raises
        ------
        StorageError
            If the store is away for too long.
        """
        lease = await self.find(name, patient=True)
        return lease.owner if lease is not None and self.is_elsewhere(lease) else ""

    def is_elsewhere(self, lease: Lease) -> bool:
        """Return whether another replica runs a launch or build, or has ended it."""
        return self.store is not None and lease.owner != self.store.replica

    async def confirm(self, taken: Lease) -> None:
        """Make sure that nobody has taken a lease since this replica has.

        This replica may have been silent for so long that others took it for gone.

        Raises
        ------
        LeaseLostError
            If somebody has, or it has ended.
        StorageError
            If the store cannot be read.
        """
        if not self.is_shared:
            return  # there are no others
        lease = await self.find(taken.name)
        if lease is None or lease.ended or lease.fence != taken.fence:
            raise LeaseLostError(f"Another replica has taken {taken.name} meanwhile.")

    async def builder(self, key: str) -> str:
        """Return the replica that runs the build of a key. Empty: none but perhaps this one.

        Raises
        ------
        StorageError
            If the store is away for too long.
        """
        if (store := self.store) is None or not store.is_shared:
            return ""
        lease = await self.ask(lambda: store.find_key(key))
        return lease.owner if lease is not None and lease.owner != store.replica else ""

    async def give(self, name: str, replica: str) -> bool:
        """Have another replica go on with a launch.

        If that one is gone, this replica takes the launch up again, as it does with those of
        others: from what is stored of it.

        Returns
        -------
        bool
            False if there is nothing to go on with: the launch has ended.

        Raises
        ------
        StorageError
            If the store is away for too long.
        """
        store = self.store
        assert store is not None  # noqa: S101 - there are no other replicas otherwise
        for heir in filter(None, (replica, store.replica)):
            try:
                await self._try(partial(store.give, name, heir))
            except LeaseLostError:
                lease = await self.find(name, patient=True)
                if lease is None or self.is_elsewhere(lease):
                    return True
            else:
                return True
        return False

    async def ask_owner(self, name: str, what: str) -> None:
        """Ask the owner of a launch for something; see `DurableStore.ask`.

        Raises
        ------
        StorageError
            If the launch has ended, or the store is away for too long.
        """
        if (store := self.store) is not None:
            await self._try(lambda: store.ask(name, what))

    async def save(self, one: Leased) -> None:
        """Store a change of a launch or build, before anything is done that needs it.

        Raises
        ------
        StorageError
            If it cannot be stored.
        """
        if (store := self.store) is not None:
            state = one.stored(self.codec)
            await self._try(lambda: store.renew(one.lease, state))

    async def claim(self, name: str, one: Leased) -> bool:
        """End a lease for a launch, whose new state is stored with it.

        Returns
        -------
        bool
            False if the lease has ended: another launch has claimed it.

        Raises
        ------
        StorageError
            If it cannot be stored, or another replica runs the launch now.
        """
        if (store := self.store) is None:
            return True
        state = one.stored(self.codec)
        return await self.ask(lambda: store.claim(name, to=one.lease, state=state))

    async def end(self, one: Running, *, expires: float) -> bool:
        """Store that a launch or build is over, and nothing is left to do.

        If that fails, it is tried again in the background until it is stored: until then, a build
        keeps its place in the queue. If this process ends before, the next one finds out from the
        events.

        Returns
        -------
        bool
            False if another replica has taken it meanwhile.
        """
        if (store := self.store) is None:
            return True
        name, state = one.lease, one.stored(self.codec, ended=True)

        async def end() -> None:
            if one.is_lost:
                raise LeaseLostError(f"Another replica has {name} now.")
            await store.end(name, state, expires=expires)

        try:
            await self._try(end)
        except LeaseLostError:
            return False
        except StorageError as error:
            self._log.warning("An end cannot be stored yet: %s", error)
            self._do_later(self._end_later(end), f"end of {name[:13]}")
        except asyncio.CancelledError:
            # The last launch of a failed build has left.
            self._do_later(self._end_later(end), f"end of {name[:13]}")
            raise
        return True

    async def _end_later(self, end: Callable[[], Awaitable[None]]) -> None:
        # Viewers need not know that this waits.
        waiting = Waiting()
        try:
            await while_away(end, patience=math.inf, waiting=waiting, log=self._log)
        except LeaseLostError:
            self._log.debug("This end was stored already, or another replica goes on.")
        except StorageError as error:
            self._log.warning("An end cannot be stored: %s", error)

    def undo(self, one: Leased) -> None:
        """Delete what `begin` may have stored, in the background. Nobody was told of it.

        If that fails, the next server deletes it, or goes on with it until it is abandoned.
        """
        if self.store is not None:
            self._do_later(self.drop(one.lease), f"undo {one.lease[:13]}")

    def _do_later(self, work: Coroutine[None, None, None], name: str) -> None:
        """Do something in the background, unless the store is closed."""
        if not self._opened.is_set():
            work.close()
            return
        task = asyncio.create_task(work, name=name)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def ask(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Ask the store for something. While it is away, try again.

        Raises
        ------
        StorageError
            If it refuses, or is away for too long.
        """
        await self.opened()
        answers: list[_T] = []

        async def ask() -> None:
            answers.append(await work())

        await self._try(ask)
        return answers[0]

    async def drop(self, name: str) -> None:
        """Delete a lease.

        If that fails, the next server takes it over.
        """
        if (store := self.store) is None:
            return
        try:
            await self._try(lambda: store.drop(name))
        except StorageError as error:
            self._log.warning("%s cannot be deleted: %s", name.partition(".")[0], error)

    async def _try(
        self, work: Callable[[], Awaitable[None]], *, patience: float | None = None
    ) -> None:
        if patience is None:
            patience = self._patience
        await while_away(work, patience=patience, waiting=self.waiting, log=self._log)
