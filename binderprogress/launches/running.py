"""The launches that have not ended: their tasks, and what ends them."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from ..core.log.reasons import failure
from ..core.phases import Phase
from ..errors import StorageError
from .event_writer import Clock
from .followers import CANCEL
from .launch import Launch
from .ledger import Ledger
from .runner import LaunchRunner
from .shared_builds import SharedBuilds
from .timers import Timers

__all__ = ["RunningLaunches"]


class RunningLaunches:
    """Runs launches to their end, and stores that end.

    Parameters
    ----------
    runner : LaunchRunner
    builds : SharedBuilds
    ledger : Ledger
    timers : Timers
    abandon_after : float
        Seconds without viewers after which a launch is cancelled.
    forget_after : float
        Seconds after its end for which a launch is kept.
    clock : Clock
    over : callable
        Called with each launch whose end is stored.
    left : callable
        Called with each launch that another replica goes on with.
    log : logging.Logger
    """

    def __init__(
        self,
        runner: LaunchRunner,
        *,
        builds: SharedBuilds,
        ledger: Ledger,
        timers: Timers,
        abandon_after: float,
        forget_after: float,
        clock: Clock,
        over: Callable[[Launch], None],
        left: Callable[[Launch], None],
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.tasks: dict[str, asyncio.Task[None]] = {}
        """The tasks that run launches, clean up after them, and store their ends."""
        self._launches: dict[str, Launch] = {}
        self._runs: dict[str, object] = {}
        """By launch, what stands for this run of it: it may have run here before."""
        self._begun: set[str] = set()
        """Launches whose tasks have taken their first step."""
        self._runner = runner
        self._builds = builds
        self._ledger = ledger
        self._timers = timers
        self._questions: set[asyncio.Task[None]] = set()
        """Tasks that find out what other replicas know of launches."""
        self._unwatch: dict[str, Callable[[], None]] = {}
        self._abandon_after = abandon_after
        self._forget_after = forget_after
        self._clock = clock
        self._over = over
        self._left = left
        self._log = log

    def is_running(self, launch_id: str) -> bool:
        """Return whether a launch runs here."""
        return launch_id in self.tasks

    def launches(self) -> list[Launch]:
        """List the launches, the oldest first."""
        return list(self._launches.values())

    def start(self, launch: Launch) -> None:
        """Run a launch."""
        run = self._runs[launch.id] = object()
        self._launches[launch.id] = launch
        task = asyncio.create_task(self._run(launch), name=repr(launch))
        self.tasks[launch.id] = task
        # Not at the end of its run: a task that is cancelled before its first step never runs.
        task.add_done_callback(lambda done: self._settle(launch, done))
        launch.watched.add(lambda: self.watch(launch))
        self.watch(launch)
        store = self._ledger.store
        if store is not None and store.is_shared:
            self._unwatch[launch.id] = store.watch_lease(
                launch.lease, lambda: self._ask(self._obey(launch, run))
            )

    async def _run(self, launch: Launch) -> None:
        self._begun.add(launch.id)
        await self._runner.run(launch)

    def watch(self, launch: Launch) -> None:
        """Set the timer that cancels a launch without viewers, or stop it."""
        if launch.id in self.tasks:
            self._timers.stop(launch)
            if not launch.viewers:
                self._timers.set(launch, self._abandon_after, self._abandon)

    def _abandon(self, launch: Launch) -> None:
        if self._ledger.is_shared:
            self._ask(self._abandon_unless_seen(launch))
        else:
            self.cancel(launch, "abandoned")

    async def _abandon_unless_seen(self, launch: Launch) -> None:
        """Cancel a launch, unless it has viewers at another replica."""
        try:
            lease = await self._ledger.find(launch.lease)
            unseen = math.inf if lease is None else lease.unseen
        except StorageError:
            unseen = 0.0  # nobody can say: other replicas could not note their viewers, either
        if launch.id not in self.tasks or launch.viewers:
            return
        if unseen < self._abandon_after:
            self._timers.set(launch, self._abandon_after - unseen, self._abandon)
        else:
            self.cancel(launch, "abandoned")

    async def _obey(self, launch: Launch, run: object) -> None:
        """Do what another replica has asked for, or stop if that runs the launch now."""
        with suppress(StorageError):
            lease = await self._ledger.find(launch.lease, patient=True)
            if lease is None or self._runs.get(launch.id) is not run:
                return
            if self._ledger.is_elsewhere(lease):
                self._leave(launch)
            elif lease.asked == CANCEL:
                self.cancel(launch)

    def _ask(self, question: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(question, name="question to other replicas")
        self._questions.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._questions.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("Other replicas cannot be asked", exc_info=error)

    def cancel(self, launch: Launch, reason: str = "cancelled") -> None:
        """Cancel a launch, unless it has ended. It is cleaned up in the background."""
        task = self.tasks.get(launch.id)
        if task is None or launch.ended:
            return
        launch.tail().cancel(reason)
        self._stop(launch)

    def lose(self, launch: Launch) -> None:
        """End a launch whose events cannot be stored."""
        task = self.tasks.get(launch.id)
        if launch.is_lost or launch.is_elsewhere:
            self._leave(launch)
            return
        if launch.is_build_elsewhere and launch.id in self._runs:
            self._ask(self._leave_to_builder(launch))
            return
        has_ended = launch.ended
        launch.lose(failure("store-failed"))
        # A launch that had ended is not cancelled: its task is about to end, or cleans up.
        if task is not None and not has_ended:
            self._stop(launch)

    async def _leave_to_builder(self, launch: Launch) -> None:
        """Give a launch to the replica that runs its build, unless it has the launch already."""
        assert launch.build is not None  # noqa: S101 - it is elsewhere
        run = self._runs.get(launch.id)
        if run is None:
            return
        try:
            if launch.ended and launch.tail().phase is Phase.CANCELLED:
                # That is not stored.
                await self._ledger.ask_owner(launch.lease, CANCEL)
            owner = await self._ledger.owner(launch.build.lease)
            # Once: this replica may be about to take it up again, or have done so.
            is_past = launch.is_lost or self._runs.get(launch.id) is not run
            if is_past or not await self._ledger.give(launch.lease, owner):
                return
        except StorageError as error:
            self._log.warning("%r cannot be given to another replica: %s", launch, error)
            if self._runs.get(launch.id) is run:
                launch.lose(failure("store-failed"))
                self._stop(launch)
        else:
            self._leave(launch)

    def _leave(self, launch: Launch) -> None:
        """Stop running a launch that another replica runs now. That one cleans up."""
        if not launch.is_lost:
            launch.is_lost = True
            self._log.warning("%r is run by another replica now", launch)
            # While launches are handed over, each is being stopped already.
            if launch.id in self.tasks and not self._runner.is_handing_over:
                self._stop(launch)

    def _stop(self, launch: Launch) -> None:
        """Stop the task of a launch. It does not go on with one that has ended or is elsewhere.

        Before its first step, it is not cancelled: it would never run, and a restored launch would
        leave its build and its server behind.
        """
        if launch.id in self._begun:
            self.tasks[launch.id].cancel()

    async def interrupt(self) -> None:
        """Stop without ending anything, and wait until all events so far are stored."""
        self._runner.is_handing_over = True
        launches, builds = self.launches(), self._builds.running
        for launch in launches:
            self._stop(launch)
        self._builds.interrupt()
        await asyncio.gather(*self._all_tasks(), return_exceptions=True)
        for build in builds:
            with suppress(StorageError):
                await build.channel.flush()
        for launch in launches:
            with suppress(StorageError):
                await launch.flush()

    async def wait(self) -> None:
        """Wait until all launches and builds are over and cleaned up.

        Clean-ups that cannot be done now are left to the next server.
        """
        try:
            await asyncio.gather(*self._all_tasks(), return_exceptions=True)
            while self.tasks:
                await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        finally:
            for question in self._questions:
                question.cancel()
            await asyncio.gather(*self._questions, return_exceptions=True)
            await self._runner.cleanups.close()

    def _all_tasks(self) -> list[asyncio.Future[Any]]:
        return [*self.tasks.values(), *self._builds.tasks]

    def _settle(self, launch: Launch, done: asyncio.Task[None]) -> None:
        """Wait until the end of a launch is stored; its task is done."""
        if not done.cancelled() and (error := done.exception()) is not None:
            self._log.error("%r failed", launch, exc_info=error)
        if launch.is_lost or self._runner.is_handing_over:
            self._leave_behind(launch)
            return
        if launch.closed and self._ledger.store is None:
            self._end(launch)
        else:
            task = asyncio.create_task(self._store(launch), name=f"end of {launch!r}")
            self.tasks[launch.id] = task
            task.add_done_callback(lambda _: self._end(launch))

    async def _store(self, launch: Launch) -> None:
        if not launch.ended:
            await self._end_without_result(launch)
            if launch.is_lost:
                return
        # If that fails, it has ended with the reason `storage`.
        with suppress(StorageError):
            await launch.flush()
        if launch.is_build_elsewhere and not launch.closed:
            await self._leave_to_builder(launch)
        elif not await self._ledger.end(launch, expires=self._clock.utc() + self._forget_after):
            launch.is_lost = True

    async def _end_without_result(self, launch: Launch) -> None:
        """End a launch whose task is done, unless another replica runs it now."""
        with suppress(StorageError):
            launch.is_lost = bool(await self._ledger.owner(launch.lease))
        if not launch.is_lost:
            # Whatever went wrong: viewers must see an end.
            launch.lose(failure("internal"))

    def _end(self, launch: Launch) -> None:
        if launch.is_lost:
            self._leave_behind(launch)
        else:
            self._remove(launch)
            self._over(launch)

    def _leave_behind(self, launch: Launch) -> None:
        """Forget what is here of a launch. It may differ from what its owner has stored."""
        self._remove(launch)
        if launch.is_lost:
            launch.forsake()
        self._left(launch)

    def _remove(self, launch: Launch) -> None:
        self._timers.stop(launch)
        self._unwatch.pop(launch.id, lambda: None)()
        del self.tasks[launch.id]
        del self._launches[launch.id]
        del self._runs[launch.id]
        self._begun.discard(launch.id)
