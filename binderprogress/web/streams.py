"""Watch a launch over server-sent events or a WebSocket."""

from __future__ import annotations

from tornado.httputil import ResponseStartLine
from tornado.web import HTTPError
from tornado.websocket import WebSocketHandler

from ..errors import BadRequestError
from ..launches import Launch
from .base import ApiHandler
from .viewers import (
    HEAD,
    EventStream,
    EventStreamViewer,
    SocketMessages,
    SocketViewer,
    limit_unacknowledged,
)

__all__ = ["EventsHandler", "SocketHandler", "StreamHandler", "position"]

_FORMATS = {chunked: EventStream(chunked) for chunked in (True, False)}
"""Formats without an id prefix. All viewers share them, so that lookups succeed by identity."""

_MAX_UNREAD_PINGS = 16
"""Maximum number of pings from a viewer that does not read. Most clients ping every 20 s."""


def position(text: str) -> int:
    """Parse the number of the last event that a viewer has received; 0 if the text is empty.

    Raises
    ------
    BadRequestError
        If it is not a number.
    """
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BadRequestError("`after` and Last-Event-ID must be the number of an event.")
    return int(text)


class StreamHandler(ApiHandler):
    """Base class of handlers that send a launch as server-sent events."""

    def stream(
        self, launch: Launch, after: int, *, id_prefix: str = "", linger: float = 0.0
    ) -> None:
        """Send the events of a launch, from the one after `after` to its end.

        This writes the response's headers and detaches the connection, which is a viewer from then
        on. The handler has nothing more to do.

        Parameters
        ----------
        launch : Launch
        after : int
            Number of the last event that the viewer has received.
        id_prefix : str
            Prefix of the event ids, for URLs that do not name the launch.
        linger : float
            Seconds for which the connection stays open after the server is ready.
        """
        self.become_viewer()
        self.start_stream()
        # The connection closes at the end of the stream.
        self.set_header("Connection", "close")
        chunked = self.request.version == "HTTP/1.1"
        form = EventStream(chunked, id_prefix.encode()) if id_prefix else _FORMATS[chunked]
        # Not with `flush`, because an output transform such as compression would apply. The headers
        # are sent at once, so that a viewer without new events knows that it is connected.
        connection = self.request.connection
        assert connection is not None  # noqa: S101 - for the type checker
        connection.write_headers(ResponseStartLine("", 200, "OK"), self._headers, HEAD)
        self.application.log_request(self)
        stream = self.detach()
        if stream.closed():
            # It closed before it was a viewer, so no close callback would ever be called.
            return
        limit_unacknowledged(stream, self.web.viewer_timeout)
        viewer = EventStreamViewer(
            stream, log=self.web.log, launch=launch, form=form, linger=linger
        )
        self.web.fanout.join(viewer, launch, after, form)

    def start_stream(self) -> None:
        """Set the headers of an event stream, which also keep proxies from buffering it."""
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store, no-transform")
        self.set_header("X-Accel-Buffering", "no")


class EventsHandler(StreamHandler):
    """GET /api/launches/{id}/events."""

    async def get(self, launch_id: str) -> None:
        """Watch a launch. This does not start one."""
        after, last = position(self.query("after")), self.request.headers.get("Last-Event-ID")
        launch = await self.launch_of(launch_id, self.query("spec"))
        self.stream(launch, position(last) if last else after)


class SocketHandler(ApiHandler, WebSocketHandler):
    """GET /api/launches/{id}/socket: a WebSocket with one event per message."""

    _viewer: SocketViewer | None = None
    _unread_pings = 0

    max_message_size = 1024
    """Maximum size of a message from the viewer, in bytes. Tornado buffers incomplete messages."""

    def check_origin(self, origin: str) -> bool:
        """Whether pages of an origin may connect. Browsers do not apply CORS to WebSockets."""
        return self.is_allowed(origin)

    async def get(self, launch_id: str) -> None:
        """Watch a launch."""
        # Errors are reported before the connection is upgraded.
        self._launch = await self.launch_of(launch_id, self.query("spec"))
        self._after = position(self.query("after"))
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            raise HTTPError(426, "This URL is for WebSockets. Use /events for server-sent events.")
        self.become_viewer()
        await super().get(launch_id)

    def open(self, *_: str) -> None:
        """Start sending events."""
        connection = self.ws_connection
        assert connection is not None  # noqa: S101 - for the type checker
        assert connection.stream is not None  # noqa: S101 - for the type checker
        limit_unacknowledged(connection.stream, self.web.viewer_timeout)
        self._viewer = SocketViewer(connection.stream, log=self.web.log, handler=self)
        form = SocketMessages(status=bool(self.query("status")))
        self.web.fanout.join(self._viewer, self._launch, self._after, form)

    def on_message(self, message: str | bytes) -> None:
        """Close the connection: viewers must not send messages."""
        if self._viewer is not None:
            # No frame may follow a close frame (RFC 6455, section 5.5.1).
            self._viewer.leave()
        self.close(1008, "Viewers must not send messages.")

    def on_ping(self, data: bytes) -> None:
        """Disconnect a viewer that pings but does not read. The pongs would fill the memory."""
        connection = self.ws_connection
        stream = getattr(connection, "stream", None)
        if stream is None or not stream.writing():
            self._unread_pings = 0
            return
        self._unread_pings += 1
        if self._unread_pings > _MAX_UNREAD_PINGS:
            stream.close()

    def on_pong(self, data: bytes) -> None:
        """Note that the viewer has answered a ping."""
        if self._viewer is not None:
            self._viewer.answered()

    def on_close(self) -> None:
        """Stop sending events."""
        if self._viewer is not None:
            self._viewer.leave()
