"""Takes up the launches of a server that was stopped or killed, or that were given to this one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from ..channels.durable import DurableStore, Lease
from ..errors import ChannelNotFoundError, LeaseLostError, StorageError, StoredStateError
from .build import Build
from .factory import Factory
from .followers import CANCEL, Followers
from .launch import Launch
from .ledger import Ledger
from .locks import Locks
from .restorer import Restorer
from .shared_builds import SharedBuilds
from .stored import StoredLaunch, build_lease, decode_launch, tail_of

__all__ = ["Successor"]

_LOOK = 5.0
"""Seconds after which launches of replicas that are gone are looked for."""

_SWEEP = 600.0
"""Seconds after which old logs are looked for."""

_AT_ONCE = 32
"""Launches that are taken over at the same time. Their commits go together."""


class Successor:
    """Restores launches and builds from a store. Without a durable one, it does nothing.

    Parameters
    ----------
    ledger : Ledger
    factory : Factory
    builds : SharedBuilds
        Gets the builds that have not ended.
    restorer : Restorer
    locks : Locks
        By launch, held while it is taken over.
    followers : Followers
        Gives back launches that were followed until now.
    is_running : callable
        Return whether a launch of an id runs here.
    run : callable
        Runs a launch that was taken over. It is also called with whether it is to be cancelled.
    clean_up : callable
        Goes on with a clean-up; see `ServerCleanups.take_over`.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        factory: Factory,
        builds: SharedBuilds,
        restorer: Restorer,
        locks: Locks,
        followers: Followers,
        is_running: Callable[[str], bool],
        run: Callable[[Launch, bool], None],
        clean_up: Callable[[Lease], Awaitable[None]],
    ) -> None:
        self._factory = factory
        self._restorer = restorer
        self._locks = locks
        self._followers = followers
        self._is_running = is_running
        self._ledger = ledger
        self._builds = builds
        self._run = run
        self._clean_up = clean_up
        self._log = factory.log
        self._looking: asyncio.Task[None] | None = None
        self._unwatch: Callable[[], None] = lambda: None
        self._wanted = asyncio.Event()
        """Whether there may be something to take over."""
        self._owned: set[str] = set()
        """Leases that were taken over, of which nothing goes on yet."""
        self._later: set[str] = set()
        """Leases that could not be taken up because the store was away; they are tried again."""

    async def open(self) -> None:
        """Take over what is abandoned: now, and as long as the store is open.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        if self._ledger.store is None:
            return
        try:
            await self._go_on()
        except StorageError as error:
            if not self._store.is_shared:
                raise
            # It is tried again in the background.
            self._log.warning("Cannot look for abandoned launches: %s", error)
            self._wanted.set()
        if self._store.is_shared:
            self._unwatch = self._store.watch_owners(self._wanted.set)
        self._looking = asyncio.create_task(self._look(), name="upkeep")

    async def stop(self) -> None:
        """Take over nothing more."""
        self._unwatch()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    @property
    def _store(self) -> DurableStore:
        store = self._ledger.store
        assert store is not None  # noqa: S101 - the public methods check it
        return store

    async def _look(self) -> None:
        """Look for launches of other replicas that are gone, and for logs that are too old."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        # Launches that this replica follows need the store, and request nothing of it.
        with self._ledger.waiting.outage() as outage:
            while True:
                if loop.time() >= due:
                    due = loop.time() + _SWEEP
                    await self._sweep()
                try:
                    async with asyncio.timeout(_LOOK):
                        await self._wanted.wait()
                except TimeoutError:
                    pass
                self._wanted.clear()
                try:
                    if self._store.is_shared or self._later:
                        await self._go_on()
                except StorageError as error:
                    self._log.warning("Cannot look for abandoned launches: %s", error)
                    outage.begin(str(error))
                else:
                    outage.end()

    async def _sweep(self) -> None:
        running = {build.id for build in self._builds.running}
        try:
            await asyncio.to_thread(self._factory.logs.sweep, running)
            await self._factory.logs.tidy()
        except (OSError, StorageError) as error:
            self._log.warning("Old logs cannot be removed: %s", error)

    async def _go_on(self) -> None:
        async with AsyncExitStack() as locks:
            for launch, asked in await self._take_over(locks):
                launch.resume()
                self._run(launch, asked == CANCEL)
                self._settle(launch.lease)
                self._log.info("%r goes on here", launch)

    async def _take_over(self, locks: AsyncExitStack) -> list[tuple[Launch, str]]:
        """Become the owner of the launches and builds that are abandoned or given to this replica.

        Parameters
        ----------
        locks : AsyncExitStack
            Gets the locks of the launches that have to be run.

        Returns
        -------
        list of (Launch, str)
            Those that have to be run, and what their owner was asked for. One that cannot be
            restored is ended in the store.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        abandoned = await self._abandoned()
        builds = _TakenBuilds(self._take_build)
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def take(lease: Lease) -> tuple[Launch | None, str]:
            async with at_once, AsyncExitStack() as taking:
                lock = self._locks.of(lease.name.removeprefix("launch."))
                await taking.enter_async_context(lock)
                launch = await self._take_launch(lease, builds)
                if launch is not None:
                    locks.push_async_exit(taking.pop_all())
                return launch, lease.asked

        taken = await asyncio.gather(
            *(
                take(lease)
                for lease in abandoned
                if lease.name.startswith("launch.")
                # It was silent for too long, but no other has taken its launches yet.
                and not self._is_running(lease.name.removeprefix("launch."))
            )
        )
        launches = [(launch, asked) for launch, asked in taken if launch is not None]
        used = {build.lease for build in self._builds.running}
        for build in builds.found():
            if build is None or build.lease in used:
                continue
            if not build.readers:
                build.let_go()
            elif build.users and not (build.channel.closed or build.is_over):
                build.go_on()
                self._builds.add(build)
                used.add(build.lease)
            elif not (build.channel.closed or build.is_over):
                # All its launches have left it, and can still be read.
                build.go_on(is_over=True)
                await build.end_lease()
                used.add(build.lease)
        is_complete = not any(name.startswith("launch.") for name in self._later)
        for lease in abandoned:
            if lease.name.startswith("build.") and lease.name not in used:
                # No launch waits for it, or one that is not known yet.
                if is_complete:
                    # Kept as long as others: a launch may still come that has it.
                    await self._give_up(lease.name, keep=self._factory.logs.keep)
                else:
                    self._later.add(lease.name)
            elif lease.name.startswith("cleanup."):
                await self._take_cleanup(lease)
        self._settle(*used)
        return launches

    async def _abandoned(self) -> list[Lease]:
        """List the leases whose owners are gone, and those that could not be taken up before."""
        abandoned = {lease.name: lease for lease in await self._store.abandoned()}
        for name in sorted(self._later - abandoned.keys()):
            lease = await self._store.find(name)
            if lease is not None and not lease.ended:
                abandoned[name] = lease
            else:
                self._later.discard(name)
        return list(abandoned.values())

    # -- launches

    async def _take_launch(self, lease: Lease, builds: _TakenBuilds) -> Launch | None:
        """Become the owner of a launch, and of its build first; None if another replica is."""
        try:
            stored = decode_launch(lease.state)
            await builds.of(stored)
            # If its owner was only silent, it may have written since the lease was listed.
            lease = await self._take(lease)
            stored = decode_launch(lease.state)
            build = await builds.of(stored)
        except LeaseLostError:
            await self._leave(lease)
            return None
        except Exception as error:  # noqa: BLE001 - whatever a backend's codec raises; others go on
            await self._fail(lease, error)
            return None
        launch_id = lease.name.removeprefix("launch.")
        followed = None
        try:
            await self._forget_empty_tail(launch_id)
            followed = await self._followers.release(launch_id)
            launch = await self._restorer.launch(launch_id, stored, build, followed, taken=lease)
        except LeaseLostError:
            if followed is not None:
                self._followers.adopt(followed)
            self._settle(lease.name)
            return None
        except Exception as error:  # noqa: BLE001 - whatever a backend's codec raises; others go on
            if followed is not None:
                self._followers.adopt(followed)
            await self._fail(lease, error)
            return None
        if launch is None:
            # Nobody was told of it: it had no event yet.
            await self._drop(lease)
        return launch

    async def _take(self, lease: Lease) -> Lease:
        """Become the owner of a lease, unless that was done before."""
        if lease.name not in self._owned:
            lease = await self._store.take(lease.name)
            self._owned.add(lease.name)
        return lease

    async def _leave(self, lease: Lease) -> None:
        """Leave a launch to the replica that has it, or that runs its build."""
        try:
            stored = decode_launch(lease.state)
            builder = await self._ledger.owner(build_lease(stored.build)) if stored.build else ""
            await self._ledger.give(lease.name, builder)
        except StorageError as error:
            await self._fail(lease, error)
        else:
            self._settle(lease.name)

    async def _take_cleanup(self, lease: Lease) -> None:
        try:
            await self._take(lease)
        except LeaseLostError:
            pass
        except StorageError as error:
            self._log.warning("A clean-up cannot be taken up again yet: %s", error)
            self._later.add(lease.name)
            return
        else:
            await self._clean_up(lease)
        self._settle(lease.name)

    def _settle(self, *names: str) -> None:
        """Note that nothing is left to do for leases, or that others do it."""
        self._owned.difference_update(names)
        self._later.difference_update(names)

    async def _fail(self, lease: Lease, error: Exception) -> None:
        """Report a launch that cannot be restored."""
        if isinstance(error, StorageError) and not isinstance(error, StoredStateError):
            self._log.warning("A launch cannot be taken up again yet: %s", error)
            self._later.add(lease.name)
            return
        self._log.error("A launch cannot be taken up again", exc_info=error)
        await self._give_up(lease.name)

    async def _forget_empty_tail(self, launch_id: str) -> None:
        """Delete the channel of events that nobody has seen. Others may come before those now."""
        try:
            state = await self._store.describe(tail_of(launch_id))
        except ChannelNotFoundError:
            return
        if state.last < state.first and not state.closed:
            await self._store.discard(tail_of(launch_id))

    # -- builds

    async def _take_build(self, launch: StoredLaunch, build_id: str) -> Build | None:
        """Restore the build of a launch, as its owner if it has not ended.

        Raises
        ------
        LeaseLostError
            If another replica owns it. Then that one goes on with the launch, too.
        """
        lease = await self._store.find(build_lease(build_id))
        running = self._restorer.running_build(build_id)
        is_ours = lease is None or not self._ledger.is_elsewhere(lease)
        if running is not None and is_ours and running.channel.failure is None:
            return running
        # One that another replica has taken meanwhile may still seem to run here.
        await self._builds.forsake(build_id, is_ours=is_ours)
        if lease is None:
            return None
        if lease.ended:
            ended = await self._restorer.ended_build(launch, lease)
            if not ended.may_be_revived:
                return ended
            # Another replica has given it up, because it did not know of this launch yet.
            ended.let_go()
            taken = await self._store.revive(lease.name)
            self._owned.add(lease.name)
        else:
            taken = await self._take(lease)
        build = await self._restorer.build(launch, taken, build_id)
        if build.channel.closed:
            # Its owner was gone before it had stored that.
            build.go_on()
            await build.end_lease()
        return build

    async def _give_up(self, name: str, *, keep: float = 0.0) -> None:
        """End a launch or build that nobody can go on with, and keep it for some seconds."""
        try:
            lease = await self._store.find(name)
            if lease is not None and not lease.ended:
                await self._take(lease)
                await self._store.end(name, lease.state, expires=self._factory.clock.utc() + keep)
            self._settle(name)
        except LeaseLostError:
            self._settle(name)
        except StorageError as error:
            self._log.warning("%s cannot be ended yet: %s", name.partition(".")[0], error)
            self._later.add(name)

    async def _drop(self, lease: Lease) -> None:
        try:
            await self._store.drop(lease.name)
            self._settle(lease.name)
        except StorageError as error:
            self._log.warning("A launch cannot be removed yet: %s", error)
            self._later.add(lease.name)


class _TakenBuilds:
    """The builds of launches that are taken over. Each is taken once."""

    def __init__(
        self, take: Callable[[StoredLaunch, str], Coroutine[Any, Any, Build | None]]
    ) -> None:
        self._take = take
        self._tasks: dict[str, asyncio.Task[Build | None]] = {}

    async def of(self, launch: StoredLaunch) -> Build | None:
        """Return the build of a launch, if it has one; see `Successor._take_build`."""
        if not launch.build:
            return None
        task = self._tasks.get(launch.build)
        if task is None:
            taking = self._take(launch, launch.build)
            task = self._tasks[launch.build] = asyncio.create_task(taking, name="take a build")
        return await task

    def found(self) -> list[Build | None]:
        """Return the builds that could be taken."""
        return [task.result() for task in self._tasks.values() if task.exception() is None]
