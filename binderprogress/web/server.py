"""Tornado's HTTP server, with limits that keep single clients from blocking it.

Tornado does not limit the number of connections. When the process runs out of file descriptors,
`accept` fails in an endless loop, each time with a traceback, and nobody is served.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from collections import Counter
from collections.abc import Awaitable, Iterable
from copy import copy
from time import monotonic
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.netutil import bind_sockets
from tornado.web import Application
from traitlets import Float, Integer
from traitlets.config import LoggingConfigurable

from ..core.client_address import client_network
from .connections import ClientConnection, Connections, ConnectionState

__all__ = ["HttpServer", "derived_limit"]

_MAX_BODY = 1 << 20
"""Maximum size of a request body, in bytes."""

_READ_BUFFER = 256 * 1024
"""Maximum number of unread bytes of one client."""

_BACKLOG = 1024
"""Maximum number of connections that the system queues until they are accepted."""

_BATCH = 16
"""Connections to accept at a time, before the event loop serves their requests."""

_PAUSE = 1.0
"""Seconds for which to stop accepting, unless a connection closes earlier."""

_LOG_INTERVAL = 60.0
"""Seconds between two log messages that say the same."""

_LOOPBACK = {"127.0.0.1", "::/64"}
"""Loopback addresses, as `client_network` returns them."""

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class HttpServer(LoggingConfigurable):
    """The HTTP server of `binderprogress serve` and `hub-service`, and its limits."""

    header_timeout = Float(
        10.0,
        min=0.1,
        help="Maximum time for a new connection to send the headers of its first request, in "
        "seconds.",
    ).tag(config=True)

    idle_timeout = Float(
        60.0,
        min=0.1,
        help="Maximum time between a response and the headers of the next request on the same "
        "connection, in seconds.",
    ).tag(config=True)

    body_timeout = Float(
        30.0, min=0.1, help="Maximum time to receive the body of a request, in seconds."
    ).tag(config=True)

    write_timeout = Float(
        30.0,
        min=0.1,
        help="Seconds after which a client that does not read its response is disconnected. For "
        "viewers of a launch, see Web.viewer_timeout.",
    ).tag(config=True)

    max_header_size = Integer(
        32768, min=1024, help="Maximum size of the headers of a request, in bytes."
    ).tag(config=True)

    max_connections = Integer(
        0,
        min=0,
        help="""
        Maximum number of open connections. At the limit, connections that have not sent a complete
        request are closed first, then those that do not read.

        0 derives the limit from the limit on open files (ulimit -n), with a reserve for builds.
        """,
    ).tag(config=True)

    max_connections_per_address = Integer(
        512,
        min=0,
        help="""
        Maximum number of open connections of one IPv4 address or IPv6 /64 network. 0 disables the
        limit.

        Connections from loopback are not limited. With Web.trust_proxy none are, because all of
        them come from the proxy.
        """,
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._server: _Server | None = None

    def bind(self, port: int, address: str) -> list[socket.socket]:
        """Open the sockets to listen on.

        Raises
        ------
        OSError
            If that is not possible, for example because the port is in use.
        """
        return bind_sockets(port, address, backlog=_BACKLOG)

    def listen(
        self, app: Application, sockets: Iterable[socket.socket], *, trust_proxy: bool = False
    ) -> None:
        """Start to serve an application.

        Parameters
        ----------
        app : Application
        sockets : iterable of socket
            The sockets to listen on, as `bind` returns them.
        trust_proxy : bool
            Whether to take the client's address from the headers that a proxy sets.
        """
        self._server = _Server(app, settings=self, trust_proxy=trust_proxy)
        self._server.add_sockets(sockets)

    @property
    def connections(self) -> Connections:
        """The open connections. Call `listen` first."""
        assert self._server is not None  # noqa: S101 - for the type checker
        return self._server.connections

    def stop(self) -> None:
        """Accept no more connections, and close those that wait for another request."""
        if self._server is not None:
            self._server.stop()

    async def close(self) -> None:
        """Close all connections except those of viewers."""
        if self._server is not None:
            await self._server.close_all_connections()


def derived_limit() -> int:
    """Return the maximum number of connections that the limit on open files allows.

    A quarter of the limit, and at least 128, is reserved for builds, JupyterHub and logs. If the
    limit is below 256, half of it is reserved.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        soft = 1 << 16
    return max(soft - max(128, soft // 4), soft // 2, 1)


class _Server(HTTPServer):
    """Tornado's server with a limited number of connections."""

    def initialize(  # type: ignore[override] # Tornado's Configurable passes all arguments on
        self, app: Application, *, settings: HttpServer, trust_proxy: bool
    ) -> None:
        super().initialize(
            app,
            xheaders=trust_proxy,
            max_body_size=_MAX_BODY,
            max_header_size=settings.max_header_size,
            max_buffer_size=_READ_BUFFER,
            # Both limit the total time. A client cannot extend it by sending a byte now and then.
            idle_connection_timeout=settings.idle_timeout,
            body_timeout=settings.body_timeout,
        )
        self._first_params = copy(self.conn_params)
        self._first_params.header_timeout = settings.header_timeout
        limit = settings.max_connections or derived_limit()
        self.connections = Connections(
            limit=limit,
            limit_per_client=0 if trust_proxy else settings.max_connections_per_address,
            # The rest is reserved for requests, such as starting or cancelling a launch.
            max_viewers=limit - min(256, max(32, limit // 8), limit // 2),
        )
        self.connections.on_room = self._resume
        self._write_timeout = settings.write_timeout
        self._listeners: list[socket.socket] = []
        self._paused: asyncio.TimerHandle | None = None
        self._is_stopping = False
        self._log = _ThrottledLog(settings.log)
        self._sweep = PeriodicCallback(self._drop_blocked, 1000.0)

    # -- accepting connections

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Start to accept connections."""
        for listener in sockets:
            self._listeners.append(listener)
            self._watch(listener)
        self._sweep.start()

    def stop(self) -> None:
        """Stop accepting connections."""
        self._is_stopping = True
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            # The system has accepted these connections already, and would break them.
            self._accept(listener, IOLoop.READ)
            if self._paused is None:
                IOLoop.current().remove_handler(listener)
            listener.close()
        if self._paused is not None:
            self._paused.cancel()
            self._paused = None
        self._sweep.stop()
        self._log.close()
        # A proxy that used them would get no response.
        self.connections.close_idle()

    def _watch(self, listener: socket.socket) -> None:
        IOLoop.current().add_handler(listener, self._accept, IOLoop.READ)

    def _accept(self, listener: socket.socket, _: int) -> None:
        for _number in range(_BATCH):
            if len(self.connections) >= self.connections.limit and not self._make_room():
                self._pause("Reached the maximum number of connections, and all are in use.")
                return
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                # Builds or logs have used up the file descriptors. A connection that was just
                # accepted is not closed for the next one: nobody would be served then.
                if error.errno not in _EXHAUSTED or not self._make_room(idle=_PAUSE):
                    self._pause(f"Could not accept a connection: {error.strerror}.")
                return
            self._serve(sock, address)

    def _serve(self, sock: socket.socket, address: Any) -> None:
        connections, network = self.connections, client_network(address[0])
        # Connections from loopback are proxies, or users who could stop the server anyway.
        if (
            network not in _LOOPBACK
            and connections.is_full(network)
            and not connections.make_room(network)
        ):
            self._log.log("Refused a connection: its address has too many already.")
            sock.close()
            return
        try:
            stream = ClientConnection(
                sock,
                connections=connections,
                client=network,
                max_buffer_size=self.max_buffer_size,
                read_chunk_size=self.read_chunk_size,
            )
        except OSError:
            sock.close()  # the client has disconnected already
            return
        connections.add(stream)
        self.handle_stream(stream, address)

    def _make_room(self, *, idle: float = 0.0) -> bool:
        if not self.connections.make_room(idle=idle):
            return False
        self._log.log("Closed an idle connection to make room for others.")
        return True

    def _pause(self, reason: str) -> None:
        """Stop accepting for a moment. Otherwise the event loop would retry in a busy loop."""
        if self._paused is not None:
            return
        self._log.log(f"{reason} New connections have to wait.", level=logging.WARNING)
        for listener in self._listeners:
            IOLoop.current().remove_handler(listener)
        self._paused = asyncio.get_running_loop().call_later(_PAUSE, self._resume)

    def _resume(self) -> None:
        """Accept connections again, if that was paused."""
        if self._paused is None:
            return
        self._paused.cancel()
        self._paused = None
        for listener in self._listeners:
            self._watch(listener)

    # -- tracking connections

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """Track a connection that starts to wait for a request."""
        delegate = super().start_request(server_conn, request_conn)
        stream = request_conn.stream  # type: ignore[attr-defined] # it is an HTTP1Connection
        if stream.requests == 0:
            request_conn.params = self._first_params  # type: ignore[attr-defined] # see above
        stream.requests += 1
        self.connections.move(stream, ConnectionState.WAITING)
        if self._is_stopping and stream.is_idle:
            stream.close()
        return _RequestTracker(delegate, stream)

    def _drop_blocked(self) -> None:
        deadline = monotonic() - self._write_timeout
        for connection in self.connections.in_state(ConnectionState.ANSWERING):
            if connection.blocked and max(connection.progress, connection.since) < deadline:
                self._log.log("Disconnected a client that did not read its response.")
                connection.close()


class _RequestTracker(HTTPMessageDelegate):
    """Changes the state of a connection when its request is complete."""

    def __init__(self, delegate: HTTPMessageDelegate, stream: ClientConnection) -> None:
        self._delegate = delegate
        self._stream = stream

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._stream.connections.move(self._stream, ConnectionState.ANSWERING)
        self._delegate.finish()

    def on_connection_close(self) -> None:
        self._delegate.on_connection_close()


class _ThrottledLog:
    """Logs each message at most once a minute, with the number of repetitions.

    Attack: if each connection writes to the log, any client can fill the disk.
    """

    def __init__(self, log: logging.Logger | logging.LoggerAdapter[Any]) -> None:
        self._log = log
        self._repeats: Counter[tuple[str, int]] = Counter()
        self._timers: dict[tuple[str, int], asyncio.TimerHandle] = {}

    def log(self, message: str, *, level: int = logging.INFO) -> None:
        """Log a message now, or count it as a repetition."""
        key = (message, level)
        if key in self._timers:
            self._repeats[key] += 1
            return
        self._log.log(level, "%s", message)
        self._start(key)

    def close(self) -> None:
        """Stop logging repetitions."""
        for timer in self._timers.values():
            timer.cancel()

    def _start(self, key: tuple[str, int]) -> None:
        self._timers[key] = asyncio.get_running_loop().call_later(
            _LOG_INTERVAL, self._summarize, key
        )

    def _summarize(self, key: tuple[str, int]) -> None:
        del self._timers[key]
        if repeats := self._repeats.pop(key, 0):
            message, level = key
            self._log.log(level, "%s (%d times in the last minute)", message, repeats)
            self._start(key)
