"""Watching a launch: server-sent events and WebSocket."""

from __future__ import annotations

from tornado.httputil import ResponseStartLine
from tornado.web import HTTPError
from tornado.websocket import WebSocketHandler

from ..errors import BadRequestError
from ..launches import Launch
from .base import ApiHandler
from .viewers import HEAD, EventStream, EventStreamViewer, SocketMessages, SocketViewer

__all__ = ["EventsHandler", "SocketHandler", "StreamHandler", "position"]

_UNNAMED = {chunked: EventStream(chunked) for chunked in (True, False)}
# Told apart by identity, which is quicker than by comparing.

_MAX_UNREAD_PINGS = 16
"""How often a viewer may ping while it does not read; libraries do it every 20 seconds or so."""


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

    def stream(
        self, launch: Launch, after: int, *, id_prefix: str = "", linger: float = 0.0
    ) -> None:
        """Send what comes after the number `after`, to the end of the launch.

        The answer's head is written, and the connection is a viewer from here on; the handler is
        done.

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
        self.become_viewer()
        self.start_stream()
        # When the stream is over, so is the connection.
        self.set_header("Connection", "close")
        chunked = self.request.version == "HTTP/1.1"
        form = EventStream(chunked, id_prefix.encode()) if id_prefix else _UNNAMED[chunked]
        # Not `flush`: what compresses answers would hold back what the viewer writes later.
        # At once: who resumes at the newest event would not know until the next one that it is
        # connected.
        connection = self.request.connection
        assert connection is not None  # noqa: S101 - for the type checker
        connection.write_headers(ResponseStartLine("", 200, "OK"), self._headers, HEAD)
        self.application.log_request(self)
        stream = self.detach()
        if stream.closed():
            # It went while it was asked who it is; nobody would ever tell that it left.
            return
        viewer = EventStreamViewer(
            stream, log=self.web.log, launch=launch, form=form, linger=linger
        )
        self.web.fanout.join(viewer, launch, after, form)

    def start_stream(self) -> None:
        """Set the headers that keep proxies from holding a stream back."""
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store, no-transform")
        self.set_header("X-Accel-Buffering", "no")


class EventsHandler(StreamHandler):
    """GET /api/launches/{id}/events."""

    def get(self, launch_id: str) -> None:
        """Watch a launch; it starts nothing."""
        after, last = position(self.query("after")), self.request.headers.get("Last-Event-ID")
        launch = self.launch_of(launch_id, self.query("spec"))
        self.stream(launch, position(last) if last else after)


class SocketHandler(ApiHandler, WebSocketHandler):
    """GET /api/launches/{id}/socket: the same over WebSocket, one event a message."""

    _viewer: SocketViewer | None = None
    _unread_pings = 0

    max_message_size = 1024
    """Bytes. Tornado keeps a message until it is complete, and a viewer has nothing to say."""

    def check_origin(self, origin: str) -> bool:
        """Pages of other sites need to be allowed: a WebSocket knows no CORS."""
        return self.is_allowed(origin)

    async def get(self, launch_id: str) -> None:
        """Watch a launch."""
        # What is wrong with the request is told before the connection is upgraded.
        self._launch = self.launch_of(launch_id, self.query("spec"))
        self._after = position(self.query("after"))
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            raise HTTPError(426, "This address speaks WebSocket. The one with /events streams.")
        self.become_viewer()
        await super().get(launch_id)

    def open(self, *_: str) -> None:
        """Begin to send."""
        connection = self.ws_connection
        assert connection is not None  # noqa: S101 - for the type checker
        assert connection.stream is not None  # noqa: S101 - for the type checker
        self._viewer = SocketViewer(connection.stream, log=self.web.log, handler=self)
        self.web.fanout.join(self._viewer, self._launch, self._after, SocketMessages())

    def on_message(self, message: str | bytes) -> None:
        """Take nothing: a viewer only watches."""
        if self._viewer is not None:
            # After a close frame no other may follow (RFC 6455, 5.5.1).
            self._viewer.left()
        self.close(1008, "A viewer has nothing to say.")

    def on_ping(self, data: bytes) -> None:
        """Drop a viewer that pings and does not read: the answers are kept in memory."""
        connection = self.ws_connection
        stream = getattr(connection, "stream", None)
        if stream is None or not stream.writing():
            self._unread_pings = 0
            return
        self._unread_pings += 1
        if self._unread_pings > _MAX_UNREAD_PINGS:
            stream.close()

    def on_close(self) -> None:
        """Stop when the viewer is gone."""
        if self._viewer is not None:
            self._viewer.left()
