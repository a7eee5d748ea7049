"""The builds that are running, each shared by the launches of the same commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from ..backends.base import BuildResult, ResolvedSpec
from .build import Build
from .launch import Launch

__all__ = ["SharedBuilds"]


class SharedBuilds:
    """Starts builds, and cancels those that no launch waits for.

    Parameters
    ----------
    start : callable
        Start the build of a resolved spec, for a launch.
    log : logging.Logger
    """

    def __init__(
        self,
        start: Callable[[Launch, ResolvedSpec], Build],
        *,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._start = start
        self._log = log
        self._builds: dict[str, Build] = {}
        self._ending: set[asyncio.Task[BuildResult]] = set()
        """Builds that were cancelled and are ending their processes."""

    def __len__(self) -> int:
        """Return the number of running builds that can be joined."""
        return len(self._builds)

    @property
    def tasks(self) -> list[asyncio.Task[BuildResult]]:
        """The tasks of all builds that have not ended."""
        return [*(build.task for build in self._builds.values()), *self._ending]

    async def build(self, launch: Launch, resolved: ResolvedSpec) -> BuildResult:
        """Join a build for a launch, or start one, and wait for its end.

        Raises
        ------
        LaunchFailedError
            If the build failed.
        """
        build = self._builds.get(resolved.key)
        launch.joined = build is not None
        if build is None:
            build = self._start(launch, resolved)
            self._builds[resolved.key] = build
            # A build that has ended is not joined: the next launch checks for its result.
            build.task.add_done_callback(lambda _: self._drop(build))
        launch.attach(build)
        return await build.result()

    def release(self, launch: Launch) -> None:
        """Cancel the build of a launch that has ended, unless others wait for it."""
        launch.detach()
        build = launch.build
        if build is None or build.users:
            return
        if not build.task.done():
            self._log.info("Cancelling the build of %s: no launch needs it", build.resolved.key)
            self._ending.add(build.task)
            build.task.add_done_callback(self._ending.discard)
        build.release()
        # A new launch must not join a build that is ending.
        self._drop(build)

    def _drop(self, build: Build) -> None:
        if self._builds.get(build.resolved.key) is build:
            del self._builds[build.resolved.key]
        if not build.task.cancelled() and build.task.done():
            # Its launches know how it ended. Otherwise, asyncio would report that nobody does.
            build.task.exception()
