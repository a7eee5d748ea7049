"""The client, for programs without an event loop, and for notebooks, where one runs already."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

from ..core.events import Event
from .asynchronous import PAUSES, AsyncClient, Kind
from .models import Launch, LaunchState, Server

__all__ = ["Client"]

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

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Launches go on as long as somebody watches them."""
        if self._loop.is_closed():
            return
        self._call(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

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
            # Left early, it would keep its connection, and the launch a viewer.
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
        ended = threading.Event()

        async def noted() -> _T:
            try:
                return await work
            finally:
                ended.set()

        task = asyncio.run_coroutine_threadsafe(noted(), self._loop)
        try:
            return task.result()
        except BaseException:
            # Ctrl-C comes to this thread, and the work is in the other: it has a launch to cancel.
            task.cancel()
            ended.wait(_LEAVE_TIMEOUT)
            raise
