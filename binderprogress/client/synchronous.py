"""The client, for programs without an event loop, and for notebooks, where one runs already."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError, wait
from typing import Any, TypeVar

from ..core.events import Event
from .asynchronous import PAUSES, AsyncClient, Kind
from .models import Launch, LaunchState, Server

__all__ = ["Client"]

_WAKE = 1.0
"""Seconds after which a waiting thread looks whether Ctrl-C was pressed."""

_LEAVE_TIMEOUT = 3.0
"""Seconds that what is interrupted may take to clean up."""

_T = TypeVar("_T")


class Client:
    """One server. It is `AsyncClient`, in an event loop of its own, in a thread of its own.

    Parameters
    ----------
    server : str
        Its address.
    token : str
        What it wants to see, if it stands behind a Hub's login; sent to it only.
    pauses : sequence of float
        Seconds before each try to connect again.
    timeout : float
        Seconds that an answer may take; a stream takes as long as its launch.
    kind : str, optional
        ``binderprogress`` or ``binderhub``; by default the server is asked, by its ``/versions``.
    """

    def __init__(
        self,
        server: str,
        *,
        token: str = "",
        pauses: Sequence[float] = PAUSES,
        timeout: float = 30.0,
        kind: Kind | None = None,
    ) -> None:
        self._client = AsyncClient(server, token=token, pauses=pauses, timeout=timeout, kind=kind)
        self._loop = asyncio.new_event_loop()
        # A daemon: a program that forgets to close it can end all the same.
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
        """Close the connections. Iterators end; launches continue while somebody watches them."""
        if self._closed:
            return
        self._closed = True
        asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _shut_down(self) -> None:
        """End what other threads wait for, and the iterators that were left open."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._client.close()

    def start(self, repository: str, ref: str = "") -> Launch:
        """Start a launch; see `AsyncClient.start`."""
        return self._call(self._client.start(repository, ref))

    def watch(self, launch: Launch | str, *, after: int = 0) -> Iterator[Event]:
        """Iterate over the events of a launch, to its end; see `AsyncClient.watch`."""
        events = self._client.watch(launch, after=after)

        async def following() -> Event | None:
            return await anext(events, None)

        try:
            while (event := self._call(following())) is not None:
                yield event
        finally:
            # Otherwise the connection stays open, and the launch keeps a viewer. A client that was
            # closed has closed it already.
            if not self._closed:
                self._call(events.aclose())

    def state(self, launch: Launch | str) -> LaunchState:
        """Say how a launch stands; see `AsyncClient.state`."""
        return self._call(self._client.state(launch))

    def log(self, launch: Launch | str) -> str:
        """Return the whole log so far; see `AsyncClient.log`."""
        return self._call(self._client.log(launch))

    def cancel(self, launch: Launch | str) -> None:
        """Cancel a launch; see `AsyncClient.cancel`."""
        self._call(self._client.cancel(launch))

    def launch(
        self, repository: str, ref: str = "", *, on_event: Callable[[Event], None] | None = None
    ) -> Server:
        """Start a launch and wait for its server; see `AsyncClient.launch`.

        Ctrl-C, or an exception of `on_event`, cancels the launch. `on_event` is called in the
        client's thread.
        """
        return self._call(self._client.launch(repository, ref, on_event=on_event))

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        if self._closed:
            work.close()
            raise RuntimeError("This client is closed.")
        ended = threading.Event()

        async def noted() -> _T:
            try:
                return await work
            finally:
                ended.set()

        task = asyncio.run_coroutine_threadsafe(noted(), self._loop)
        try:
            # A signal that comes just before this thread waits is noticed when it wakes up.
            while not task.done():
                wait([task], _WAKE)
            return task.result()
        except CancelledError:
            # Only `close`, called by another thread, cancels it.
            raise RuntimeError("This client was closed while it was in use.") from None
        except BaseException:
            # Ctrl-C arrives in this thread. The work runs in the other, and may have a launch to
            # cancel.
            task.cancel()
            ended.wait(_LEAVE_TIMEOUT)
            raise
