"""Stops the servers of launches that have failed or were cancelled, also after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec

from ..backends.base import AnyBackend, LaunchRequest, Preparer, Remover, ServerPlan
from ..channels.durable import DurableStore, Lease
from ..core.phases import Phase
from ..errors import BinderProgressError, ChannelNotFoundError, LeaseTakenError, StorageError
from .launch import Launch
from .ledger import AnyCodec, Ledger
from .ready_event import stored_plan, stored_request
from .standby_server import StandbyServer
from .stored import cleanup_lease, decode_launch, retired_by, retirement_lease, tail_of

__all__ = ["ServerCleanups"]

Server = LaunchRequest[Any, Any] | ServerPlan[Any]
"""One that was requested, or one for which something was prepared."""

_MOST_AT_ONCE = 8
"""Maximum number of servers that are stopped at the same time after a restart, or of those that
stood ready."""
_HAND_OVER_TIMEOUT = 3.0
"""Seconds in which a replica that is being stopped finds out who has a launch."""


class ServerCleanups:
    """Stops servers. What the backend cannot do at once is stored until it is done.

    A launch has not ended in the store while its server is stopped for the first time. If that
    fails, the clean-up gets a lease of its own before the launch ends. So a server that is killed
    at any moment leaves one or the other to its successor. Stopping a server twice does no harm.

    Parameters
    ----------
    backend : Backend
    ledger : Ledger
    timeout : float
        Seconds for the first attempt.
    log : logging.Logger
    """

    def __init__(
        self,
        backend: AnyBackend,
        *,
        ledger: Ledger,
        timeout: float,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._backend = backend
        self._ledger = ledger
        self._timeout = timeout
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_MOST_AT_ONCE)

    async def stop(self, launch: Launch) -> None:
        """Stop the server of a launch, or remove what was prepared for it.

        If that fails, the backend goes on in the background. If another replica runs the launch
        now, the server is that one's, and stays.
        """
        server = launch.request or launch.plan
        if server is None or not await self._may_stop(launch):
            return
        if await self._is_stopped(server) or self._ledger.store is None:
            return
        lease = cleanup_lease(launch.id)
        state = launch.stored(self._ledger.codec)
        try:
            await self._ledger.begin(_Outstanding(lease, state))
        except StorageError as error:
            self._log.warning("A clean-up cannot be stored, and ends with this server: %s", error)
        except asyncio.CancelledError:
            # Another replica has taken the launch; but this clean-up may be stored.
            self._start(self._follow(lease, server))
            raise
        else:
            self._start(self._follow(lease, server))

    async def _may_stop(self, launch: Launch) -> bool:
        """Ask the store whose a launch is. A replica that was paused hears of that too late.

        Until then, it may have asked for the server once more, after another one had stopped it
        and ended the launch. So it stops the server of a launch that has ended without one.
        """
        with suppress(StorageError):
            lease = await self._lease_elsewhere(launch)
            if lease is not None:
                launch.is_lost = True
                return await self._has_no_server(lease, launch)
        return not launch.is_lost

    async def leave(self, launch: Launch) -> None:
        """Leave the server of a launch that is handed over to whoever goes on with the launch.

        Nobody does if another replica has ended it. If it ended without a server, this replica may
        have asked for one since, as it may have been paused: a successor is to stop that.
        """
        if launch.request is None and launch.plan is None:
            return
        async with self._leaving(launch):
            lease = await self._lease_elsewhere(launch)
            if lease is not None and await self._has_no_server(lease, launch):
                state = launch.stored(self._ledger.codec)
                await self._ledger.begin(_Outstanding(cleanup_lease(launch.id), state))

    @asynccontextmanager
    async def _leaving(self, one: Launch | StandbyServer) -> AsyncGenerator[None]:
        """Take little time, as this process is being stopped, and raise nothing."""
        try:
            async with asyncio.timeout(_HAND_OVER_TIMEOUT):
                yield
        except LeaseTakenError:
            self._log.debug("%r is being cleaned up already", one)
        except (StorageError, TimeoutError) as error:
            what = str(error) or f"the database did not answer within {_HAND_OVER_TIMEOUT:g} s"
            self._log.warning("%r is left to others, whoever has it now: %s", one, what)

    async def _lease_elsewhere(self, launch: Launch) -> Lease | None:
        """Return the lease of a launch if another replica runs it, or has ended it."""
        if not self._ledger.is_shared:
            return None
        lease = await self._ledger.find(launch.lease, patient=True)
        return lease if lease is not None and self._ledger.is_elsewhere(lease) else None

    async def _has_no_server(self, lease: Lease, launch: Launch) -> bool:
        """Return whether a launch has ended without a server."""
        store = self._ledger.store
        if store is None or not lease.ended:
            return False
        return not await self._ledger.ask(lambda: _is_ready(store, launch.id))

    async def retire(self, server: StandbyServer) -> bool:
        """Stop a server that stands ready, unless a launch has taken it.

        Returns
        -------
        bool
            False if a launch has taken it.

        Raises
        ------
        StorageError
            If it cannot be stored that it is stopped. It goes on, then.
        """
        request = server.running
        if self._ledger.store is None:
            await self._is_stopped(request)
            return True
        # From its lease to that of a clean-up in one transaction: it is never forgotten, and no
        # launch of another replica gets it.
        lease = retirement_lease(server.id)
        outstanding = _Outstanding(lease, server.outstanding(self._ledger.codec))
        await self._ledger.begin(outstanding)
        if not await self._ledger.claim(server.lease, outstanding):
            await self._ledger.drop(lease)
            return False
        await self._again(lease, request)
        return True

    async def stop_retired(self, server: StandbyServer) -> None:
        """Stop a server that another replica has retired while it was being started here.

        A replica that was paused may have asked for it once more after that.
        """
        with suppress(StorageError):
            if await self._is_retired(server):
                await self._is_stopped(server.running)

    async def leave_retired(self, server: StandbyServer) -> None:
        """Have a successor stop a server that another replica has retired; see `stop_retired`."""
        async with self._leaving(server):
            if await self._is_retired(server):
                state = server.outstanding(self._ledger.codec)
                await self._ledger.begin(_Outstanding(retirement_lease(server.id), state))

    async def _is_retired(self, server: StandbyServer) -> bool:
        lease = await self._ledger.find(server.lease, patient=True)
        return lease is not None and lease.ended and lease.asked == retirement_lease(server.id)

    async def take_over(self, lease: Lease) -> None:
        """Go on with a clean-up of a server that is gone, whose lease this one owns now."""
        try:
            stored = decode_launch(lease.state)
            codec = self._ledger.codec
            spec = codec.spec(stored.spec)
            server: Server
            if stored.request is not None:
                server = await stored_request(codec, stored.request, spec, stored.caller)
            else:
                server = await stored_plan(codec, stored, spec)
        except Exception:  # noqa: BLE001 - whatever a backend's codec raises; others go on
            self._log.exception("A clean-up cannot be taken up again")
            self._start(self._ledger.drop(lease.name))
            return
        if standby := retired_by(lease.name):
            outstanding = _Outstanding(lease.name, lease.state)
            self._start(self._retire_again(standby, outstanding, server))
        else:
            self._start(self._again(lease.name, server))

    async def _retire_again(self, standby: str, outstanding: _Outstanding, server: Server) -> None:
        """Go on with the retirement of a server, unless a launch has taken it."""
        try:
            lease = await self._ledger.find(standby, patient=True)
            is_claimed = lease is not None and lease.ended and lease.asked == outstanding.lease
            if is_claimed or await self._ledger.claim(standby, outstanding):
                await self._again(outstanding.lease, server)
            else:
                await self._ledger.drop(outstanding.lease)
        except StorageError as error:
            self._log.warning("%s cannot be stopped yet: %s", server.name, error)

    async def close(self) -> None:
        """Leave what is not done to the next server."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work, name="clean-up")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _is_stopped(self, server: Server) -> bool:
        try:
            async with asyncio.timeout(self._timeout):
                if isinstance(server, LaunchRequest):
                    await self._backend.stop(server)
                elif isinstance(self._backend, Preparer):
                    await self._backend.discard(server)
        except (BinderProgressError, TimeoutError) as error:
            self._log.error("The server for %s may be left running: %s", server.name, error)
        except Exception:  # noqa: BLE001 - whatever a backend raises; the launch is over
            self._log.exception("The server for %s may be left running", server.name)
        else:
            return True
        return False

    async def _again(self, lease: str, server: Server) -> None:
        async with self._slots:
            is_stopped = await self._is_stopped(server)
        if is_stopped:
            await self._ledger.drop(lease)
        else:
            await self._follow(lease, server)

    async def _follow(self, lease: str, server: Server) -> None:
        """Wait until the backend has removed a server, or has given up."""
        if isinstance(self._backend, Remover):
            await self._backend.removed(server)
        await self._ledger.drop(lease)


async def _is_ready(store: DurableStore, launch_id: str) -> bool:
    """Return whether a launch has ended with a server."""
    tail = tail_of(launch_id)
    try:
        state = await store.describe(tail)
    except ChannelNotFoundError:
        # It has ended with its build.
        return False
    newest = await store.read(tail, state.last - 1, limit=1)
    return bool(newest) and newest[0].event.phase is Phase.READY


class _Outstanding(msgspec.Struct, frozen=True):
    """A clean-up, as the ledger stores it."""

    lease: str
    state: bytes

    def stored(self, codec: AnyCodec, *, ended: bool = False) -> bytes:
        """Return the state for its lease: that of the launch."""
        return self.state
