"""Viewers on Tornado's connections: event streams and WebSockets.

They write to the socket directly. Only what the socket does not accept at once goes through
Tornado's `IOStream`, which waits until it can be sent. `tests/web/test_viewers.py` pins the
behaviour of Tornado that this relies on.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import ClassVar

import msgspec
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError
from tornado.websocket import WebSocketHandler

from ..core import sse
from ..core.events import Encoded
from ..core.phases import Phase
from ..launches import Launch, Viewer

__all__ = [
    "END",
    "HEAD",
    "EventStream",
    "EventStreamViewer",
    "SocketMessages",
    "SocketViewer",
    "limit_unacknowledged",
]

HEAD = b"retry: 1000\n\n"
"""Start of a stream: reconnect after one second."""

WAITING = "waiting for storage"
"""The comment in a stream of server-sent events while events wait for storage."""

END = b"retry: 3600000\n\n"
"""End of a stream: do not reconnect for an hour, in case a page forgets to close it."""


# The fields before `message`, each with its value. A message follows unless it is empty.
_NO_MESSAGE = re.compile(
    rb'\d+\ndata: \{"id":\d+,"phase":"\w+","time":[^,]+,"elapsed":[^,]+,"progress":[^,}]++'
    rb'(?!,"message":)'
)


def _with_message(block: bytes) -> bytes:
    """Return the block of an event, without ``id: ``, with an empty `message` if it has none."""
    head = _NO_MESSAGE.match(block)
    return block if head is None else b'%b,"message":""%b' % (head[0], block[head.end() :])


def limit_unacknowledged(stream: IOStream, seconds: float) -> None:
    """Close a connection whose other end has acknowledged nothing for some seconds.

    If a machine vanishes from the network, nothing closes its connections, and the system would
    repeat what was sent for about 15 minutes. Without effect where the system cannot do this.

    Parameters
    ----------
    stream : IOStream
        An open connection.
    seconds : float
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    is_tcp = stream.socket.family in {socket.AF_INET, socket.AF_INET6}
    if option is not None and is_tcp:
        milliseconds = max(int(1000 * seconds), 1)
        stream.socket.setsockopt(socket.IPPROTO_TCP, option, milliseconds)


class EventStream(msgspec.Struct, frozen=True, cache_hash=True):
    """The format of server-sent events.

    Attributes
    ----------
    chunked : bool
        Whether the response uses chunked encoding (HTTP/1.1). An HTTP/1.0 response ends when the
        connection closes.
    id_prefix : bytes
        Prefix of the event ids, for URLs that do not name the launch. All events have a `message`
        then, as BinderHub's clients expect.
    """

    chunked: bool
    id_prefix: bytes = b""

    says_when: ClassVar[bool] = True
    """With ``retry:``."""

    @property
    def keepalive(self) -> bytes:
        """A comment."""
        return self.chunk(sse.comment())

    def frame(self, events: Sequence[Encoded]) -> bytes:
        """Return one chunk with a block for each event."""
        if self.id_prefix:
            # Insert the prefix after the "id: " at the start of each block.
            start = b"id: " + self.id_prefix
            blocks = [_with_message(encoded.sse[4:]) for encoded in events]
            return self.chunk(start + start.join(blocks))
        if len(events) == 1:
            return self.chunk(events[0].sse)
        return self.chunk(b"".join([encoded.sse for encoded in events]))

    def storage(self, *, waiting: bool) -> bytes:
        """Return a comment, which clients that do not know it ignore. Any other one ends it."""
        return self.chunk(sse.comment(WAITING)) if waiting else self.keepalive

    def chunk(self, data: bytes) -> bytes:
        """Return data as one chunk of the response."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data

    @property
    def last(self) -> bytes:
        """The last chunk of the response."""
        return b"0\r\n\r\n" if self.chunked else b""


@dataclass(frozen=True)
class SocketMessages:
    """The format of WebSocket messages, one event each (RFC 6455, section 5.2).

    Attributes
    ----------
    status : bool
        Whether the client expects messages that are not events.
    """

    status: bool = False

    says_when: ClassVar[bool] = False
    """A close code has no time, and many clients reconnect at once."""

    keepalive: ClassVar[bytes] = b"\x89\x00"
    """A ping."""

    def frame(self, events: Sequence[Encoded]) -> bytes:
        """Return an unmasked text frame for each event."""
        parts = []
        for encoded in events:
            text = encoded.json
            size = len(text)
            if size < 126:
                parts += [b"\x81", size.to_bytes(1), text]
            elif size < 1 << 16:
                parts += [b"\x81\x7e", size.to_bytes(2), text]
            else:
                parts += [b"\x81\x7f", size.to_bytes(8), text]
        return b"".join(parts)

    def storage(self, *, waiting: bool) -> bytes:
        """Return a message that is not an event, or nothing."""
        if not self.status:
            return b""
        text = msgspec.json.encode({"waiting_for_storage": waiting})
        return b"\x81%b%b" % (len(text).to_bytes(1), text)


class _StreamViewer(Viewer):
    """A viewer that is connected by an `IOStream`."""

    __slots__ = ("_log", "_socket", "_stream")

    def __init__(self, stream: IOStream, log: logging.Logger) -> None:
        super().__init__()
        self._stream = stream
        self._log = log
        # With TLS, the stream has to write: it keeps bytes that are not yet encrypted.
        self._socket = None if isinstance(stream, SSLIOStream) else stream.socket
        # Each write is complete, so the system should not wait for more data.
        stream.set_nodelay(True)

    def send(self, data: bytes) -> bool:
        """Write to the socket, and leave the rest to the stream."""
        stream = self._stream
        sent = 0
        if self._socket is not None and not self._is_writing():
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                pass
            except OSError as error:
                stream.close(exc_info=error)
                return True
            if sent == len(data):
                return True
        try:
            written = stream.write(memoryview(data)[sent:])
        except StreamClosedError:
            return True
        if not stream.writing():
            return True
        written.add_done_callback(self._on_written)
        return False

    def _is_writing(self) -> bool:
        """Whether the stream has something left to write when `send` is called."""
        return self._stream.writing()

    def drop(self) -> None:
        """Disconnect a viewer that does not read. It can resume."""
        self._log.info("Disconnected a viewer that did not read.")
        self._close(1013, "Too slow; resume with ?after=")

    def forget(self) -> None:
        """Disconnect the viewer of a launch that has expired. It cannot resume."""
        self._close(1001, "This launch has expired.")

    @abstractmethod
    def _close(self, code: int, reason: str) -> None:
        """Close the connection, a WebSocket with a code and a reason (RFC 6455, section 7.4)."""

    def _on_written(self, written: asyncio.Future[None]) -> None:
        if not written.cancelled() and written.exception() is None:
            self.drained()


class EventStreamViewer(_StreamViewer):
    """A viewer of server-sent events. It keeps neither the handler nor the request in memory.

    Parameters
    ----------
    stream : IOStream
        The connection, detached from its handler after the headers were written.
    log : logging.Logger
    launch : Launch
    form : EventStream
        The format of the events.
    linger : float
        Seconds for which the connection stays open after the server is ready.
    """

    __slots__ = ("_form", "_has_headers", "_is_closing", "_launch", "_linger", "_lingering")

    def __init__(
        self,
        stream: IOStream,
        *,
        log: logging.Logger,
        launch: Launch,
        form: EventStream,
        linger: float,
    ) -> None:
        super().__init__(stream, log)
        self._form = form
        self._launch = launch
        self._linger = linger
        self._has_headers = False
        """Whether the headers are sent. From then on, only `send` writes, one thing at a time."""
        self._lingering: asyncio.TimerHandle | None = None
        self._is_closing = False
        """Whether the last chunk was written."""
        # Attack: a client keeps sending data to fill the read buffer.
        stream.max_buffer_size = 4096
        stream.set_close_callback(self.leave)

    def _is_writing(self) -> bool:
        """Look at the stream only once, as this is called for each event; see `Viewer.send`."""
        if not self._has_headers:
            self._has_headers = not self._stream.writing()
        return not self._has_headers

    def end(self) -> None:
        """Send the end of the stream, and close the connection, maybe after `linger` seconds."""
        if not self._stream.closed():
            self._stream.write(self._form.chunk(END))
            self._close_after(self._linger if self._launch.last.phase is Phase.READY else 0.0)

    def _close_after(self, seconds: float) -> None:
        stream = self._stream
        if stream.closed():
            return
        if seconds > 0:
            pause = min(seconds, self.settings.keepalive or seconds)
            loop = asyncio.get_running_loop()
            self._lingering = loop.call_later(pause, self._keep_alive, seconds - pause)
        else:
            self.blocked()
            self._finish()

    def _finish(self) -> None:
        """Write the last chunk, and close the connection when it is sent."""
        stream, self._is_closing = self._stream, True
        stream.write(self._form.last).add_done_callback(lambda _: stream.close())

    def restart(self, delay: float) -> None:
        """End the response. An `EventSource` reconnects after the delay, and resumes."""
        if self._stream.closed() or self._is_closing:
            return
        if self._lingering is not None:
            self._lingering.cancel()
        if not self.has_ended:
            self._stream.write(self._form.chunk(b"retry: %d\n\n" % (1000 * delay)))
        self._finish()

    def _keep_alive(self, remaining: float) -> None:
        if remaining > 0 and not self._stream.closed():
            self._stream.write(self._form.keepalive)
        self._close_after(remaining)

    def _close(self, code: int, reason: str) -> None:
        self._stream.close()


class SocketViewer(_StreamViewer):
    """A viewer on a WebSocket. Its handler keeps reading, for pings and unexpected messages.

    Parameters
    ----------
    stream : IOStream
    log : logging.Logger
    handler : WebSocketHandler
    """

    __slots__ = ("_closing", "_handler", "_next_ping", "_unanswered")

    def __init__(self, stream: IOStream, *, log: logging.Logger, handler: WebSocketHandler) -> None:
        super().__init__(stream, log)
        self._handler = handler
        self._closing: asyncio.TimerHandle | None = None
        """Closes the WebSocket, because the server is being stopped."""
        self._next_ping = monotonic()
        self._unanswered = 0.0
        """When the first ping was sent that has no answer, in monotonic seconds; 0 if all have."""

    def send(self, data: bytes) -> bool:
        """Write to the socket, and disconnect a viewer that does not answer pings.

        A proxy may keep a connection whose viewer has vanished.
        """
        now, settings = monotonic(), self.settings
        if self._unanswered and now - self._unanswered > settings.viewer_timeout:
            self._log.info("Disconnected a viewer that did not answer pings.")
            self._stream.close()
            return True
        if settings.keepalive > 0 and now >= self._next_ping:
            self._next_ping = now + settings.keepalive
            self._unanswered = self._unanswered or now
            if data != SocketMessages.keepalive:
                # Its launch is not silent, so no keepalive is sent.
                data += SocketMessages.keepalive
        return super().send(data)

    def answered(self) -> None:
        """Note that the viewer has answered a ping."""
        self._unanswered = 0.0

    def end(self) -> None:
        """Close the WebSocket with a closing handshake."""
        self._handler.close(1000, "The launch has ended.")

    def restart(self, delay: float) -> None:
        """Close the WebSocket after the delay."""
        if self._closing is None:
            reason = "The server restarts; resume with ?after="
            loop = asyncio.get_running_loop()
            self._closing = loop.call_later(delay, self._handler.close, 1012, reason)

    def _close(self, code: int, reason: str) -> None:
        self._handler.close(code, reason)
        # No frame may follow a close frame, even if the viewer starts to read now.
        self.leave()
