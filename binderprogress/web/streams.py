"""Watching a launch: server-sent events and WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ..core import sse
from ..core.events import Encoded
from ..core.phases import Phase
from ..errors import BadRequestError
from ..launches import Launch, Viewer
from .base import ApiHandler

__all__ = ["END", "EventsHandler", "SocketHandler", "StreamHandler"]

_HEAD = b"retry: 1000\n\n"
"""Milliseconds after which a browser connects again."""

END = b"retry: 3600000\n\n"
"""The same once the stream is complete: a page that forgets to close it must not hammer us."""


async def follow(viewer: Viewer, keepalive: float) -> AsyncIterator[list[Encoded]]:
    """Iterate over what there is to send; an empty list is a keepalive."""
    while not viewer.left:
        events = viewer.read()
        if events:
            yield events
        elif viewer.done:
            return
        elif not await viewer.wait(keepalive):
            yield []


def position(text: str) -> int:
    """Read the number of the last event that a viewer has.

    Raises
    ------
    BadRequestError
        If it is none.
    """
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BadRequestError("`after` and Last-Event-ID are the number of an event.")
    return int(text)


class StreamHandler(ApiHandler):
    """Sends a launch as server-sent events."""

    _viewer: Viewer | None = None
    _gone: asyncio.Event

    def initialize(self) -> None:
        """Know when the viewer goes."""
        self._gone = asyncio.Event()

    async def stream(
        self, launch: Launch, after: int, *, id_prefix: str = "", linger: float = 0.0
    ) -> None:
        """Send what comes after the number `after`, to the end of the launch.

        Parameters
        ----------
        launch : Launch
        after : int
        id_prefix : str
            Put in front of the numbers, where the address does not name the launch.
        linger : float
            Seconds for which the connection is kept when the server is ready, or until the viewer
            closes it.
        """
        self.start_stream()
        prefix = id_prefix.encode()
        with Viewer(launch, after) as self._viewer:
            # At once: who resumes at the newest event would not know until the next one that it
            # is connected.
            self.write(_HEAD)
            if not await self.send():
                return
            async for events in follow(self._viewer, self.web.keepalive):
                if not events:
                    self.write(sse.comment())
                elif prefix:
                    for e in events:
                        self.write(b"id: %b%d\ndata: %b\n\n" % (prefix, e.event.id, e.json))
                else:
                    self.write(b"".join([e.sse for e in events]))
                if not await self.send():
                    return
        if self._viewer.left:
            return
        self.write(END)
        if linger and launch.last.phase is Phase.READY and not await self._linger(linger):
            return
        self.finish()

    async def _linger(self, seconds: float) -> bool:
        """Keep the connection for so long; False if it was closed meanwhile."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while await self.send():
            left = end - loop.time()
            if left <= 0:
                return True
            try:
                async with asyncio.timeout(min(left, self.web.keepalive)):
                    await self._gone.wait()
                return False
            except TimeoutError:
                self.write(sse.comment())
        return False

    def start_stream(self) -> None:
        """Set the headers that keep proxies from holding a stream back."""
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache, no-transform")
        self.set_header("X-Accel-Buffering", "no")

    def on_connection_close(self) -> None:
        """Stop when the viewer is gone."""
        self._gone.set()
        if self._viewer is not None:
            self._viewer.leave()


class EventsHandler(StreamHandler):
    """GET /api/launches/{id}/events."""

    async def get(self, launch_id: str) -> None:
        """Watch a launch; it starts nothing."""
        after = self.request.headers.get("Last-Event-ID") or self.get_query_argument("after", "")
        await self.stream(self.launch(launch_id), position(after))


class SocketHandler(ApiHandler, WebSocketHandler):
    """GET /api/launches/{id}/socket: the same over WebSocket, one event a message."""

    _viewer: Viewer | None = None
    _task: asyncio.Task[None] | None = None

    def check_origin(self, origin: str) -> bool:
        """Pages of other sites need to be allowed: a WebSocket knows no CORS."""
        return self.is_allowed(origin)

    async def get(self, launch_id: str) -> None:
        """Watch a launch."""
        launch = self.launch(launch_id)
        self._viewer = Viewer(launch, position(self.get_query_argument("after", "")))
        await super().get(launch_id)

    def open(self, *_: str) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._run())

    def on_message(self, message: str | bytes) -> None:
        """Take nothing: a viewer only watches."""
        self.close(1008, "A viewer has nothing to say.")

    def on_close(self) -> None:
        """Stop when the viewer is gone."""
        if self._viewer is not None:
            self._viewer.leave()

    async def _run(self) -> None:
        assert self._viewer is not None  # noqa: S101 - set before the connection is opened
        with self._viewer as viewer:
            try:
                async for events in follow(viewer, self.web.keepalive):
                    if not events:
                        self.ping(b"")
                    for encoded in events:
                        await self._write(encoded)
            except (WebSocketClosedError, StreamClosedError):
                return
            except TimeoutError:
                self.web.log.info("A client that did not read was dropped.")
                self.close(1013, "Too slow; resume with ?after=")
                return
        self.close(1000, "The launch is over.")

    async def _write(self, encoded: Encoded) -> None:
        sent = asyncio.ensure_future(self.write_message(encoded.json.decode()))
        # Not cancelled when it takes too long: Tornado reports that as a mistake.
        done, _ = await asyncio.wait([sent], timeout=self.web.viewer_timeout)
        if not done:
            sent.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise TimeoutError
        sent.result()
