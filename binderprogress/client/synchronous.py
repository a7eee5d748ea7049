"""The synchronous client. It also works in notebooks, where an event loop is already running."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError, wait
from typing import Any, TypeVar

from ..core.events import Event
from .asynchronous import PAUSES, AsyncClient, ServerKind
from .models import (
    ImageStatus,
    JupyterServer,
    LaunchHandle,
    LaunchSnapshot,
    LogLines,
    LogMatches,
    LogTimes,
)

__all__ = ["Client"]

_WAKE = 1.0
"""Seconds after which a waiting thread checks whether Ctrl-C was pressed."""

_CLEAN_UP_TIMEOUT = 3.0
"""Maximum number of seconds for an interrupted call to clean up."""

_T = TypeVar("_T")


class Client:
    """A client of a binderprogress server or a plain BinderHub.

    It runs an `AsyncClient` in an event loop in its own thread.

    Parameters
    ----------
    server : str
        URL of the server.
    token : str
        JupyterHub token, for servers that require a login. It is sent to this server only.
    pauses : sequence of float
        Seconds to wait before each attempt to reconnect: 1, 2, 4, 8 and 15 by default.
    timeout : float
        Maximum time for a response, in seconds. Event streams have no maximum time.
    kind : str, optional
        ``binderprogress`` or ``binderhub``. By default, it is detected from ``/versions``.
    """

    def __init__(
        self,
        server: str,
        *,
        token: str = "",
        pauses: Sequence[float] = PAUSES,
        timeout: float = 30.0,
        kind: ServerKind | None = None,
    ) -> None:
        self._client = AsyncClient(server, token=token, pauses=pauses, timeout=timeout, kind=kind)
        self._loop = asyncio.new_event_loop()
        # A daemon thread, so that programs can exit without closing the client.
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="binderprogress client", daemon=True
        )
        self._thread.start()
        self._closed = False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections and iterators. Launches continue while another viewer watches."""
        if self._closed:
            return
        self._closed = True
        asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _shut_down(self) -> None:
        """Cancel the calls of other threads, and close open iterators."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._client.close()

    def start(self, repository: str, ref: str = "", *, build_only: bool = False) -> LaunchHandle:
        """Start a launch; see `AsyncClient.start`."""
        return self._call(self._client.start(repository, ref, build_only=build_only))

    def image(self, repository: str, ref: str = "") -> ImageStatus:
        """Return whether an environment is built already; see `AsyncClient.image`."""
        return self._call(self._client.image(repository, ref))

    def watch(self, launch: LaunchHandle | str, *, after: int = 0) -> Iterator[Event]:
        """Iterate over the events of a launch until its end; see `AsyncClient.watch`."""
        events = self._client.watch(launch, after=after)

        async def next_event() -> Event | None:
            return await anext(events, None)

        try:
            while (event := self._call(next_event())) is not None:
                yield event
        finally:
            # Otherwise the connection would stay open, and the launch would keep a viewer. `close`
            # has closed it already.
            if not self._closed:
                self._call(events.aclose())

    def state(self, launch: LaunchHandle | str) -> LaunchSnapshot:
        """Return the state of a launch; see `AsyncClient.state`."""
        return self._call(self._client.state(launch))

    def log(self, launch: LaunchHandle | str) -> str:
        """Return the log so far; see `AsyncClient.log`."""
        return self._call(self._client.log(launch))

    def log_lines(
        self, launch: LaunchHandle | str, *, first: int = 1, count: int = 500
    ) -> LogLines:
        """Return some lines of the log so far; see `AsyncClient.log_lines`."""
        return self._call(self._client.log_lines(launch, first=first, count=count))

    def search_log(self, launch: LaunchHandle | str, text: str, *, first: int = 1) -> LogMatches:
        """Find the lines of the log that have a text; see `AsyncClient.search_log`."""
        return self._call(self._client.search_log(launch, text, first=first))

    def log_times(self, launch: LaunchHandle | str) -> LogTimes:
        """Return when lines of the log so far were written; see `AsyncClient.log_times`."""
        return self._call(self._client.log_times(launch))

    def cancel(self, launch: LaunchHandle | str) -> None:
        """Cancel a launch; see `AsyncClient.cancel`."""
        self._call(self._client.cancel(launch))

    def launch(
        self, repository: str, ref: str = "", *, on_event: Callable[[Event], None] | None = None
    ) -> JupyterServer:
        """Start a launch and wait until its server is ready; see `AsyncClient.launch`.

        Ctrl-C, or an exception in `on_event`, cancels the launch. `on_event` is called in the
        client's thread.
        """
        return self._call(self._client.launch(repository, ref, on_event=on_event))

    def build(
        self, repository: str, ref: str = "", *, on_event: Callable[[Event], None] | None = None
    ) -> str:
        """Build an environment, and return its name; see `AsyncClient.build`.

        Ctrl-C, or an exception in `on_event`, cancels the build. `on_event` is called in the
        client's thread.
        """
        return self._call(self._client.build(repository, ref, on_event=on_event))

    def _call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        if self._closed:
            coroutine.close()
            raise RuntimeError("This client is closed.")
        ended = threading.Event()

        async def run() -> _T:
            try:
                return await coroutine
            finally:
                ended.set()

        task = asyncio.run_coroutine_threadsafe(run(), self._loop)
        try:
            # A signal that arrives just before this thread waits is handled when it wakes up.
            while not task.done():
                wait([task], _WAKE)
            return task.result()
        except CancelledError:
            # Another thread called `close`.
            raise RuntimeError("This client was closed while it was in use.") from None
        except BaseException:
            # Ctrl-C arrives in this thread, while the coroutine runs in the other one. It may have
            # to cancel a launch.
            task.cancel()
            ended.wait(_CLEAN_UP_TIMEOUT)
            raise
