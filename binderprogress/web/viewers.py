"""Viewers on Tornado's connections: an event stream, a WebSocket.

Their bytes go to the socket directly; only what it does not take at once goes through Tornado's
`IOStream`, which waits for it. `tests/web/test_viewers.py` holds what is used of Tornado here.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tornado.iostream import IOStream, SSLIOStream, StreamClosedError
from tornado.websocket import WebSocketHandler

from ..core import sse
from ..core.events import Encoded
from ..core.phases import Phase
from ..launches import Launch
from ..launches.fanout import Viewer

__all__ = ["END", "HEAD", "EventStream", "EventStreamViewer", "SocketMessages", "SocketViewer"]

HEAD = b"retry: 1000\n\n"
"""Milliseconds after which a browser connects again."""

END = b"retry: 3600000\n\n"
"""The same once the stream is complete: a page that forgets to close it must not hammer us."""


@dataclass(frozen=True)
class EventStream:
    """Server-sent events.

    Attributes
    ----------
    chunked : bool
        Whether the answer has HTTP/1.1's chunks; that of HTTP/1.0 ends with its connection.
    id_prefix : bytes
        Stands in front of the numbers, where the address does not name the launch.
    """

    chunked: bool
    id_prefix: bytes = b""

    @property
    def keepalive(self) -> bytes:
        """A comment."""
        return self.chunk(sse.comment())

    def frame(self, events: Sequence[Encoded]) -> bytes:
        """Return one chunk of whole blocks."""
        if self.id_prefix:
            # What stands in front of the number is the same in every block.
            start = b"id: " + self.id_prefix
            return self.chunk(start + start.join([encoded.sse[4:] for encoded in events]))
        return self.chunk(b"".join([encoded.sse for encoded in events]))

    def chunk(self, data: bytes) -> bytes:
        """Return bytes as a part of the answer."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data

    @property
    def last(self) -> bytes:
        """What ends the answer."""
        return b"0\r\n\r\n" if self.chunked else b""


@dataclass(frozen=True)
class SocketMessages:
    """Messages of a WebSocket, one event each (RFC 6455, 5.2)."""

    keepalive: ClassVar[bytes] = b"\x89\x00"
    """A ping."""

    def frame(self, events: Sequence[Encoded]) -> bytes:
        """Return one text frame after the other, as a server sends them: not masked."""
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


class _StreamViewer(Viewer):
    """A viewer at the end of an `IOStream`."""

    __slots__ = ("_log", "_socket", "_stream")

    def __init__(self, stream: IOStream, log: logging.Logger) -> None:
        super().__init__()
        self._stream = stream
        self._log = log
        # TLS has bytes of its own under way; Tornado minds them.
        self._socket = None if isinstance(stream, SSLIOStream) else stream.socket
        # What is written is complete; nothing more is coming that the system could wait for.
        stream.set_nodelay(True)

    def send(self, data: bytes) -> bool:
        """Write to the socket; what it does not take waits in the stream."""
        stream = self._stream
        sent = 0
        if self._socket is not None and not stream.writing():
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

    def drop(self) -> None:
        """Close the connection of one that does not read. It can resume."""
        self._log.info("A client that did not read was dropped.")
        self._close(1013, "Too slow; resume with ?after=")

    def forget(self) -> None:
        """Close the connection: the launch is forgotten, and there is nothing to resume."""
        self._close(1001, "The launch is forgotten.")

    @abstractmethod
    def _close(self, code: int, why: str) -> None:
        """Close the connection; a WebSocket says why (RFC 6455, 7.4)."""

    def _on_written(self, written: asyncio.Future[None]) -> None:
        if not written.cancelled() and written.exception() is None:
            self.drained()


class EventStreamViewer(_StreamViewer):
    """Server-sent events; of the request that asked for them nothing else is left.

    Parameters
    ----------
    stream : IOStream
        Taken from its handler, the answer's headers written.
    launch : Launch
    form : EventStream
    linger : float
        Seconds for which the connection is kept when the server is ready, or until the viewer
        closes it.
    """

    __slots__ = ("_form", "_launch", "_linger")

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
        # Attack: a client that goes on talking would fill the stream's buffer.
        stream.max_buffer_size = 4096
        stream.set_close_callback(self.left)

    def end(self) -> None:
        """Send the end, and close the connection now or after a while."""
        if not self._stream.closed():
            self._stream.write(self._form.chunk(END))
            self._hold(self._linger if self._launch.last.phase is Phase.READY else 0.0)

    def _hold(self, seconds: float) -> None:
        stream = self._stream
        if stream.closed():
            return
        if seconds > 0:
            pause = min(seconds, self.settings.keepalive or seconds)
            asyncio.get_running_loop().call_later(pause, self._held, seconds - pause)
        else:
            self.blocked()
            stream.write(self._form.last).add_done_callback(lambda _: stream.close())

    def _held(self, seconds: float) -> None:
        if seconds > 0 and not self._stream.closed():
            self._stream.write(self._form.keepalive)
        self._hold(seconds)

    def _close(self, code: int, why: str) -> None:
        self._stream.close()


class SocketViewer(_StreamViewer):
    """A WebSocket, which its handler goes on minding: pings, and what a client may not say."""

    __slots__ = ("_handler",)

    def __init__(self, stream: IOStream, *, log: logging.Logger, handler: WebSocketHandler) -> None:
        super().__init__(stream, log)
        self._handler = handler

    def end(self) -> None:
        """Close it as RFC 6455 wants it."""
        self._handler.close(1000, "The launch is over.")

    def _close(self, code: int, why: str) -> None:
        self._handler.close(code, why)
        # After this nothing may follow, should it begin to read now.
        self.left()
