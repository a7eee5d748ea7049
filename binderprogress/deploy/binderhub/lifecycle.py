"""What a BinderHub with our endpoints does, from its start to its end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

from tornado.ioloop import IOLoop

from ...errors import BinderProgressError
from .extension import BinderProgress
from .supported import check_settings
from .traced_launcher import traced

__all__ = ["Lifecycle"]

_SHUTDOWN = 9.0
"""Maximum seconds for cleaning up when the server is stopped."""


class Lifecycle:
    """Adds our endpoints to a BinderHub, and starts and stops both.

    Parameters
    ----------
    hub : BinderHub
        Its application.

    Attributes
    ----------
    progress : BinderProgress
        After `attach`.
    """

    progress: BinderProgress

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._loop: IOLoop | None = None
        self._failure: BinderProgressError | None = None
        self._is_stopping = False
        self._opening: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def attach(self) -> None:
        """Add our endpoints in front of BinderHub's. It must be initialized.

        Raises
        ------
        ConfigError
            If this version of BinderHub is not supported.
        """
        hub = self._hub
        settings = hub.tornado_app.settings
        check_settings(settings)
        hub.launcher = settings["launcher"] = traced(settings["launcher"])
        self.progress = hub.progress = BinderProgress(hub)
        self.progress.attach(hub.tornado_app)

    def start(self, listen: Callable[..., None], *, run_loop: bool) -> None:
        """Serve.

        Parameters
        ----------
        listen : callable
            BinderHub's own `start`.
        run_loop : bool
            Whether to run the event loop until SIGINT or SIGTERM.

        Raises
        ------
        BinderProgressError
            If the store cannot be opened.
        """
        listen(run_loop=False)
        self._loop = IOLoop.current()
        self._loop.add_callback(self._begin, handle_signals=run_loop)
        if run_loop:
            self._loop.start()
            if self._failure is not None:
                raise self._failure

    def stop(self, close: Callable[[], None]) -> None:
        """End all launches, and stop serving.

        If the event loop is running, this does not wait for it.

        Parameters
        ----------
        close : callable
            BinderHub's own `stop`, which waits for the threads of builds.
        """
        self._is_stopping = True
        self._hub.http_server.stop()
        self.progress.detach_metrics()
        loop = self._loop
        if loop is None or loop.asyncio_loop.is_closed():  # type: ignore[attr-defined] # untyped
            close()
        elif loop.asyncio_loop.is_running():  # type: ignore[attr-defined] # untyped
            loop.add_callback(self._close, close)
        else:
            loop.run_sync(lambda: self._close(close))

    def _begin(self, *, handle_signals: bool) -> None:
        if self._is_stopping:
            # It was stopped before the event loop ran.
            return
        if handle_signals:
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)
        self._opening = asyncio.create_task(self._open(ends=handle_signals))

    async def _open(self, *, ends: bool) -> None:
        """Open the store. If that fails, end the event loop, or say so."""
        try:
            await self.progress.open()
        except BinderProgressError as error:
            if ends:
                self._failure = error
                IOLoop.current().stop()
            else:
                self._hub.log.error("%s", error)  # noqa: TRY400 - it is a sentence for operators

    def _on_signal(self, number: int) -> None:
        # A second signal ends the process at once.
        asyncio.get_running_loop().remove_signal_handler(number)
        task = asyncio.create_task(self._shut_down(number))
        self._tasks.add(task)

    async def _shut_down(self, number: int) -> None:
        self._hub.http_server.stop()
        await self._end_launches(hand_over=number == signal.SIGTERM)
        # As in BinderHub: a thread may be blocked, waiting for a build's log.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    async def _close(self, close: Callable[[], None]) -> None:
        await self._end_launches(hand_over=False)
        close()

    async def _end_launches(self, *, hand_over: bool) -> None:
        try:
            async with asyncio.timeout(_SHUTDOWN):
                if self._opening is not None:
                    self._opening.cancel()
                    await asyncio.wait([self._opening])
                await self.progress.close(hand_over=hand_over)
        except TimeoutError:
            self._hub.log.warning("The server could not be stopped cleanly in time.")
