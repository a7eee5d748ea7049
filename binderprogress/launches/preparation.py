"""Has a server prepared while its environment is built."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ..backends.base import AnyBackend, Prepared, Preparer
from ..core.events import DoneAhead
from .build import Build
from .launch import Launch

__all__ = ["Preparation"]


class Preparation:
    """What a backend does for the server of one launch before that is requested.

    Parameters
    ----------
    backend : Backend
    launch : Launch
        It has a plan if anything is to be prepared. That is stored before, so that a successor can
        go on with it, or remove what was prepared.
    log : logging.Logger
    """

    def __init__(
        self,
        backend: AnyBackend,
        launch: Launch,
        *,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._backend = backend if isinstance(backend, Preparer) else None
        self._launch = launch
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._over: float | None = None
        """When the build has ended, in seconds since the launch began."""

    @property
    def is_possible(self) -> bool:
        """Whether the backend can do anything."""
        return self._backend is not None and self._backend.prepares

    def begin(self, build: Build) -> None:
        """Begin, at the same time as the build."""
        if self._backend is not None and self._launch.plan is not None:
            work = self._prepare(self._backend, build)
            self._task = asyncio.create_task(work, name=f"preparation of {self._launch!r}")

    def end(self) -> None:
        """End it, as the build has ended. It goes on for a moment."""
        if self._over is None:
            self._over = self._launch.seconds
            # Once: it may be giving something back.
            if self._task is not None:
                self._task.cancel()

    async def close(self) -> None:
        """End it, and wait for that."""
        self.end()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _prepare(self, backend: Preparer, build: Build) -> None:
        try:
            await backend.prepare(self._launch.plan, building=build.building, done=self._note)
        except Exception:  # noqa: BLE001 - whatever a backend raises; the launch does it itself
            self._log.exception("Nothing is prepared for %r", self._launch)

    def _note(self, done: Prepared) -> None:
        now = self._launch.seconds
        began = max(now - done.seconds, 0.0)
        # The launch has waited for the rest of it.
        end = now if self._over is None else min(now, self._over)
        if end > began:
            began, end = round(began, 3), round(end, 3)
            saved = round(end - began, 3)
            self._launch.ahead.append(DoneAhead(done.what, done.label, began, end, saved))
