"""Starts servers ahead, looks after them, and stops them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

import msgspec

from ..backends.base import AnyBackend, Attempt, BuildResult, KeyMaker, ResolvedSpec, RunningServer
from ..core.log.reasons import failure
from ..core.specs import Spec
from ..core.standby import Limits, Plan, State, Wanted, plan
from ..errors import LeaseLostError, StorageError
from .event_writer import Clock
from .standby_pool import Answers, StandbyPool
from .standby_server import StandbyServer
from .stored import STANDBYS

__all__ = ["StandbyKeeper", "Target"]

_FIRST_ANSWER = 10.0
"""Seconds within which a server has to answer after its launcher has reported it as ready."""

_PAUSE = 0.25
"""Seconds between two questions whether it does."""

_SHORTEST_HOLD, _LONGEST_HOLD = 5.0, 600.0
"""Seconds for which nothing is started after the first failure, and after many in a row."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """An environment of which servers are to stand ready.

    Attributes
    ----------
    spec : Spec
    resolved : ResolvedSpec
    built : BuildResult
    count : int
    """

    spec: Spec
    resolved: ResolvedSpec
    built: BuildResult
    count: int

    @property
    def key(self) -> str:
        """Identifies it: the same commit may be built again, as another image."""
        return _key(self.resolved.key, self.built.image)


class StandbyKeeper:
    """Keeps servers ready, as `core.standby.plan` says.

    Parameters
    ----------
    backend : Backend
    pool : StandbyPool
        Where they are.
    answers : callable
        Returns whether a server answers, with its token.
    base_url : str
        The address of this server, for the variables of Jupyter servers.
    timeout : float
        Seconds for the start of a server.
    clock : Clock
    wake : callable
        Called when something has changed.
    log : logging.Logger
    """

    def __init__(
        self,
        backend: AnyBackend,
        pool: StandbyPool,
        *,
        answers: Answers,
        base_url: str,
        timeout: float,
        clock: Clock,
        wake: Callable[[], None],
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._backend = backend
        self._pool = pool
        self._answers = answers
        self._base_url = base_url
        self._timeout = timeout
        self._clock = clock
        self._wake = wake
        self._log = log
        self._starts: dict[str, asyncio.Task[None]] = {}
        self._stored: set[str] = set()
        """Of these, the servers that have a lease."""
        self._stops: set[asyncio.Task[None]] = set()
        self._held: dict[str, tuple[float, float]] = {}
        """Until when nothing is started of an environment, and after which pause."""
        self._is_handing_over = False

    # -- what there is

    async def adopt(self) -> None:
        """Take over servers of processes that are gone, or that others have given to this one.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        if (store := self._pool.ledger.store) is None:
            return
        for lease in await store.abandoned():
            if lease.name.startswith(STANDBYS):
                try:
                    taken = await store.take(lease.name)
                except LeaseLostError:
                    continue
                await self._adopt(await self._pool.restored(taken), taken.name)

    async def _adopt(self, server: StandbyServer | None, lease: str) -> None:
        if server is None:
            await self._pool.ledger.drop(lease)
            return
        if server.id in self._starts:
            # Another replica had it for a while, because this one was silent.
            return
        self._pool.servers[server.id] = server
        if server.served is None:
            # It was being started. The launcher goes on with the same names.
            self._begin(server, resumed=True)
        elif not await self._answers(server.served):
            server.is_dead = True
        else:
            self._log.info("%r stands ready", server)

    async def compare(self) -> None:
        """Compare what is here with the store, which other replicas change.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        store = self._pool.ledger.store
        if store is None:
            return
        known = {one.id for one in self._pool.servers.values() if one.state is State.READY}
        starting = self._starts.keys() & self._stored
        leases = await self._pool.stored()
        for standby_id in starting & self._starts.keys():
            lease = leases.get(standby_id)
            if lease is None or lease.owner != store.replica:
                self._leave(standby_id)
        for standby_id in known - leases.keys():
            server = self._pool.servers.get(standby_id)
            if server is not None and server.state is State.READY and not server.is_reserved:
                # A launch of another replica has taken it.
                del self._pool.servers[standby_id]
        for standby_id in leases.keys() - self._pool.servers.keys() - self._pool.claimed:
            lease = leases[standby_id]
            # It may have been taken while the store was read.
            found = await store.find(lease.name) if lease.owner == store.replica else None
            if found is not None and not found.ended and standby_id not in self._pool.claimed:
                # Such as of a launch that was cancelled while it took it.
                await self._adopt(await self._pool.restored(lease), lease.name)

    async def give(self, replica: str) -> None:
        """Give all servers that stand ready to another replica.

        Raises
        ------
        StorageError
            If the store is away.
        """
        store = self._pool.ledger.store
        assert store is not None  # noqa: S101 - there are no other replicas otherwise
        for server in list(self._pool.servers.values()):
            if server.state is State.READY and not server.is_reserved:
                # Refused if it is not ours any more, or that replica is gone: see `compare`.
                with suppress(LeaseLostError):
                    await store.give(server.lease, replica)
                self._pool.servers.pop(server.id, None)

    async def check(self) -> None:
        """Ask all servers whether they answer."""
        servers = [
            (one, one.served)
            for one in self._pool.servers.values()
            if one.state is State.READY and one.served is not None and not one.is_reserved
        ]
        answers = await asyncio.gather(*(self._answers(served) for _, served in servers))
        for (server, _), is_alive in zip(servers, answers, strict=True):
            server.is_dead = server.is_dead or not is_alive

    # -- what is done

    def apply(
        self, targets: Sequence[Target], limits: Limits, *, unknown: Mapping[str, int]
    ) -> None:
        """Start and stop servers, in the background.

        Parameters
        ----------
        targets : sequence of Target
            The most important ones first.
        limits : Limits
        unknown : mapping
            Specs whose commit is not known at the moment, and how many servers are wanted. Those
            that stand ready stay.
        """
        for server in list(self._pool.servers.values()):
            if server.is_dead and server.state is State.READY:
                self._pool.counts["dead"] += 1
                self._log.warning(
                    "%r does not answer any more, %.0f s after it was requested, and is replaced. "
                    "If JupyterHub stops idle servers, c.Standby.max_age has to be less than the "
                    "time after which it does.",
                    server,
                    self._clock.utc() - server.since,
                )
                self._end(server)
        self._carry_out(self._planned(targets, limits, unknown), targets)

    def _planned(
        self, targets: Sequence[Target], limits: Limits, unknown: Mapping[str, int]
    ) -> Plan:
        now, utc = self._clock.monotonic(), self._clock.utc()
        servers = self._pool.servers
        wanted = [Wanted(key=target.key, count=target.count) for target in targets]
        held = {key for key, (until, _) in self._held.items() if until > now}
        known = {target.key for target in targets}
        for server in servers.values():
            key, count = _key(server.key, server.request.image), unknown.get(str(server.spec), 0)
            if count and key not in known:
                known.add(key)
                held.add(key)
                wanted.append(Wanted(key=key, count=count))
        standing = [
            msgspec.structs.replace(one.standing(utc), key=_key(one.key, one.request.image))
            for one in servers.values()
        ]
        return plan(wanted, standing, limits, held=held)

    def _carry_out(self, done: Plan, targets: Sequence[Target]) -> None:
        servers = self._pool.servers
        by_key = {target.key: target for target in targets}
        for standby_id in done.stop:
            if not servers[standby_id].is_reserved:
                self._pool.counts["replaced"] += 1
                self._end(servers[standby_id])
        for key in done.start:
            self._start(by_key[key])

    def _start(self, target: Target) -> None:
        backend = self._backend
        key = backend.new_key(target.resolved) if isinstance(backend, KeyMaker) else ""
        server = StandbyServer.new(
            target.spec,
            target.resolved,
            target.built,
            key=key,
            base_url=self._base_url,
            now=self._clock.utc(),
        )
        self._pool.servers[server.id] = server
        self._begin(server)

    def _begin(self, server: StandbyServer, *, resumed: bool = False) -> None:
        task = asyncio.create_task(self._run(server, resumed=resumed), name=repr(server))
        self._starts[server.id] = task
        # Not in the task: one that is cancelled before its first step never runs.
        task.add_done_callback(lambda done: self._begun(server, done))

    def _leave(self, standby_id: str) -> None:
        """Do not go on with a start that another replica goes on with, or has ended."""
        self._pool.servers.pop(standby_id, None)
        self._starts[standby_id].cancel()

    def _begun(self, server: StandbyServer, task: asyncio.Task[None]) -> None:
        del self._starts[server.id]
        self._stored.discard(server.id)
        is_mine = self._pool.servers.get(server.id) is server
        if self._is_handing_over:
            self._do(self._pool.cleanups.leave_retired(server), server)
        elif not is_mine:
            self._do(self._pool.cleanups.stop_retired(server), server)
        elif task.cancelled():
            self._retire(server)

    async def _run(self, server: StandbyServer, *, resumed: bool) -> None:
        """Start a server, and see that it answers."""
        key = _key(server.key, server.request.image)
        try:
            if not resumed:
                # Before the launcher is asked: a successor can find the server, or stop it.
                await self._pool.ledger.begin(server)
            self._stored.add(server.id)
            async with asyncio.timeout(self._timeout):
                served = await self._served(server, resumed=resumed)
            server.served = served
            await self._pool.ledger.save(server)
        except LeaseLostError:
            # Another replica goes on with it.
            self._pool.servers.pop(server.id, None)
        except Exception as error:  # noqa: BLE001 - whatever a backend raises; it is tried again
            self._pool.counts["failed"] += 1
            pause = self._hold(key)
            self._log.warning(
                "No server of %s can stand ready: %s. It is tried again in %g s.",
                server.spec,
                str(error).rstrip(".") or "it did not start in time",
                pause,
            )
            self._retire(server)
        else:
            server.state = State.READY
            self._held.pop(key, None)
            self._pool.counts["started"] += 1
            self._log.info("%r stands ready", server)
        finally:
            self._wake()

    def _hold(self, key: str) -> float:
        """Start nothing of an environment for some time. Return the seconds."""
        _, before = self._held.get(key, (0.0, 0.0))
        pause = min(max(before * 2, _SHORTEST_HOLD), _LONGEST_HOLD)
        self._held[key] = self._clock.monotonic() + pause, pause
        return pause

    async def _served(self, server: StandbyServer, *, resumed: bool) -> RunningServer:
        request = server.running if resumed else server.request
        async with aclosing(self._backend.launch(request)) as items:
            async for item in items:
                if isinstance(item, Attempt):
                    server.request = msgspec.structs.replace(server.request, attempt=item.number)
                if isinstance(item, RunningServer):
                    await self._first_answer(item)
                    return item
        raise failure("internal", "The launcher ended without a result.")

    async def _first_answer(self, served: RunningServer) -> None:
        deadline = self._clock.monotonic() + _FIRST_ANSWER
        while not await self._answers(served):
            if self._clock.monotonic() > deadline:
                raise failure(
                    "start-timeout",
                    f"It does not answer at {served.url} with its token. If this server cannot "
                    "reach that address, set c.Standby.proxy_url",
                )
            await asyncio.sleep(_PAUSE)

    def _end(self, server: StandbyServer) -> None:
        """Stop a server, whatever it does at the moment."""
        if (start := self._starts.get(server.id)) is not None:
            # Then it is stopped.
            server.state = State.STOPPING
            start.cancel()
        else:
            self._retire(server)

    def _retire(self, server: StandbyServer) -> None:
        server.state = State.STOPPING
        self._do(self._stop(server), server)

    def _do(self, stop: Coroutine[None, None, None], server: StandbyServer) -> None:
        task = asyncio.create_task(stop, name=f"stop {server!r}")
        self._stops.add(task)
        task.add_done_callback(self._stops.discard)

    async def _stop(self, server: StandbyServer) -> None:
        try:
            if not await self._pool.cleanups.retire(server):
                self._log.info("%r was taken before it was stopped", server)
        except StorageError as error:
            # If it goes on, `compare` or the next process finds it.
            self._log.warning("%r cannot be stopped now: %s", server, error)
        finally:
            self._pool.servers.pop(server.id, None)
            self._wake()

    async def close(self, *, hand_over: bool, forget: bool) -> None:
        """End all work, and stop the servers.

        Parameters
        ----------
        hand_over : bool
            Whether a successor goes on with the servers instead.
        forget : bool
            Whether others stop them.
        """
        self._is_handing_over = hand_over or forget
        starts = list(self._starts.values())
        for task in starts:
            task.cancel()
        await asyncio.gather(*starts, return_exceptions=True)
        if forget:
            for server in self._pool.servers.values():
                await self._pool.ledger.drop(server.lease)
        elif not hand_over:
            for server in list(self._pool.servers.values()):
                if server.state is State.READY and not server.is_reserved:
                    self._retire(server)
        await asyncio.gather(*self._stops, return_exceptions=True)


def _key(environment: str, image: str) -> str:
    return f"{environment} {image}"
