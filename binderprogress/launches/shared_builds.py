"""The builds that are running, each shared by the launches of the same commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from ..backends.base import BuildResult, ResolvedSpec
from .build import Build
from .launch import Launch
from .ledger import Ledger

__all__ = ["SharedBuilds"]


class SharedBuilds:
    """Starts builds, and cancels those that no launch waits for.

    Parameters
    ----------
    make : callable
        Make the build of a resolved spec, for a launch.
    ledger : Ledger
    log : logging.Logger
    """

    def __init__(
        self,
        make: Callable[[Launch, ResolvedSpec], Build],
        *,
        ledger: Ledger,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._make = make
        self._ledger = ledger
        self._log = log
        self._builds: dict[str, Build] = {}
        self._under_way: dict[str, Build] = {}
        """Those whose tasks are not done, by their id."""
        self._ending: dict[str, asyncio.Future[BuildResult]] = {}
        """Builds that were cancelled and are ending their processes, by their key."""

    def __len__(self) -> int:
        """Return the number of running builds that can be joined."""
        return len(self._builds)

    @property
    def tasks(self) -> list[asyncio.Future[BuildResult]]:
        """The tasks of all builds that have not ended."""
        return [*(build.task for build in self._builds.values()), *self._ending.values()]

    @property
    def running(self) -> list[Build]:
        """The builds that can be joined."""
        return list(self._builds.values())

    async def build(
        self,
        launch: Launch,
        resolved: ResolvedSpec,
        *,
        begun: Callable[[Build], None],
    ) -> BuildResult:
        """Join a build for a launch, or start one, and wait for its end.

        Parameters
        ----------
        launch : Launch
        resolved : ResolvedSpec
        begun : callable
            Called with the build once it is stored that the launch has it.

        Raises
        ------
        LaunchFailedError
            If the build failed.
        BuiltElsewhereError
            If another replica builds the same.
        """
        build = self._builds.get(resolved.key)
        launch.joined = build is not None
        if build is None:
            build = self._make(launch, resolved)
            build.start(self._ending.get(resolved.key))
            self.add(build)
        build.users += 1
        # It must not be forgotten before this launch reads it, or if this one never does.
        build.readers += 1
        try:
            await build.ownership.begun(build.task)
            await build.join(launch.caller.owner)
            launch.build_id = build.id
            await self._ledger.save(launch)
            launch.attach(build)
            begun(build)
        except BaseException:
            build.users -= 1
            build.leave(launch)
            self._release(build)
            raise
        finally:
            build.readers -= 1
            if not build.readers:
                build.forget()
        return await build.result()

    def add(self, build: Build) -> None:
        """Let further launches join a build that has begun, as long as it runs."""
        self._builds[build.resolved.key] = build
        self._under_way[build.id] = build
        # A build that has ended is not joined: the next launch checks for its result.
        build.task.add_done_callback(lambda _: self._is_over(build))

    async def forsake(self, build_id: str, *, is_ours: bool) -> None:
        """Stop what is still under way here of a build that another replica has taken.

        Parameters
        ----------
        build_id : str
        is_ours : bool
            Whether its lease is ours, so that it may be about to end as it should.
        """
        build = self._under_way.get(build_id)
        if build is not None and not (is_ours and build.channel.failure is None):
            await build.forsake()

    def release(self, launch: Launch) -> None:
        """Cancel the build of a launch that has ended, unless others wait for it."""
        launch.detach()
        if launch.build is not None:
            launch.build.leave(launch)
            self._release(launch.build)

    def interrupt(self) -> None:
        """End all builds without a last event, so that a successor goes on with them."""
        for build in self.running:
            build.is_interrupted = True
            build.task.cancel()

    def _release(self, build: Build) -> None:
        if build.users:
            return
        if not build.task.done():
            key = build.resolved.key
            if not build.is_interrupted:
                self._log.info("Cancelling the build of %s: no launch needs it", key)
            self._ending[key] = build.task
            build.task.add_done_callback(lambda ended: self._forget_ending(key, ended))
        build.release()
        # A new launch must not join a build that is ending.
        self._drop(build)

    def _forget_ending(self, key: str, ended: asyncio.Future[BuildResult]) -> None:
        if self._ending.get(key) is ended:
            del self._ending[key]

    def _is_over(self, build: Build) -> None:
        if self._under_way.get(build.id) is build:
            del self._under_way[build.id]
        self._drop(build)

    def _drop(self, build: Build) -> None:
        if self._builds.get(build.resolved.key) is build:
            del self._builds[build.resolved.key]
        if not build.task.cancelled() and build.task.done():
            # Its launches know how it ended. Otherwise, asyncio would report that nobody does.
            build.task.exception()
