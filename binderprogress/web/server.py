"""The HTTP server: Tornado's, with limits that keep a few clients from stopping it.

Tornado's own has no limit on open connections. When no file descriptor is left, its `accept` raises
in the event loop again and again, with a traceback each time, and nobody is served.
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
from .connections import Connection, Connections, State

__all__ = ["HttpServer", "derived_limit"]

_MAX_BODY = 1 << 20
"""Bytes of a request: specs are short."""

_READ_BUFFER = 256 * 1024
"""Bytes that a client may send ahead, before anything of it is read."""

_BACKLOG = 1024
"""Connections that the system keeps until we accept them."""

_BATCH = 16
"""Connections accepted at once. The event loop reads their requests before the next ones come."""

_PAUSE = 1.0
"""Seconds without accepting, unless a connection closes before."""

_SUMMARY = 60.0
"""Seconds between two lines of the log that say the same."""

_LOOPBACK = {"127.0.0.1", "::/64"}
"""What `client_network` makes of loopback's addresses."""

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class HttpServer(LoggingConfigurable):
    """The HTTP server's limits. They hold where the server is our own: `serve`, `hub-service`."""

    header_timeout = Float(
        10.0, min=0.1, help="Seconds for a new connection to send the head of its first request."
    ).tag(config=True)

    idle_timeout = Float(
        60.0,
        min=0.1,
        help="Seconds after an answer until the head of the next request on the same connection "
        "has come.",
    ).tag(config=True)

    body_timeout = Float(30.0, min=0.1, help="Seconds for the whole body of a request.").tag(
        config=True
    )

    write_timeout = Float(
        30.0,
        min=0.1,
        help="Seconds after which a client is dropped that takes nothing of its answer. For "
        "viewers of a launch it is Web.viewer_timeout.",
    ).tag(config=True)

    max_header_size = Integer(32768, min=1024, help="Bytes of a request's head.").tag(config=True)

    max_connections = Integer(
        0,
        min=0,
        help="""
        Connections that may be open at the same time. When there are more, those that have sent no
        complete request are closed, then those that do not read.

        0: as many as the limit on open files (ulimit -n) allows, with some kept for builds.
        """,
    ).tag(config=True)

    max_connections_per_address = Integer(
        512,
        min=0,
        help="""
        Connections that one IPv4 address or IPv6 /64 network may have open; 0: no limit.

        It does not count connections from loopback, nor any with Web.trust_proxy: these are those
        of the proxy.
        """,
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._server: _Server | None = None

    def bind(self, port: int, address: str) -> list[socket.socket]:
        """Open the sockets to listen on; an `OSError` says why that is not possible."""
        return bind_sockets(port, address, backlog=_BACKLOG)

    def listen(
        self, app: Application, sockets: Iterable[socket.socket], *, trust_proxy: bool = False
    ) -> None:
        """Serve on sockets.

        Parameters
        ----------
        app : Application
        sockets : iterable of socket
        trust_proxy : bool
            Whether the peers are proxies, which say whom they stand for.
        """
        self._server = _Server(app, settings=self, trust_proxy=trust_proxy)
        self._server.add_sockets(sockets)

    @property
    def connections(self) -> Connections:
        """What is open; only after `listen`."""
        assert self._server is not None  # noqa: S101 - for the type checker
        return self._server.connections

    def stop(self) -> None:
        """Accept no more connections."""
        if self._server is not None:
            self._server.stop()

    async def close(self) -> None:
        """Close the connections that no viewer has."""
        if self._server is not None:
            await self._server.close_all_connections()


def derived_limit() -> int:
    """Return how many connections the limit on open files allows.

    A quarter, and at least 128, is for others: builds, the Hub, logs. With fewer than 256 it is
    half.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        soft = 1 << 16
    return max(soft - max(128, soft // 4), soft // 2, 1)


class _Server(HTTPServer):
    """Tornado's server, which minds how many connections it has."""

    def initialize(  # type: ignore[override] # Tornado's Configurable passes what it is given
        self, app: Application, *, settings: HttpServer, trust_proxy: bool
    ) -> None:
        super().initialize(
            app,
            xheaders=trust_proxy,
            max_body_size=_MAX_BODY,
            max_header_size=settings.max_header_size,
            max_buffer_size=_READ_BUFFER,
            # Both bound the whole of it, not the silence in between: a byte now and then is no way
            # to keep a connection.
            idle_connection_timeout=settings.idle_timeout,
            body_timeout=settings.body_timeout,
        )
        self._first_params = copy(self.conn_params)
        self._first_params.header_timeout = settings.header_timeout
        limit = settings.max_connections or derived_limit()
        self.connections = Connections(
            limit=limit,
            limit_per_client=0 if trust_proxy else settings.max_connections_per_address,
            # The others are for requests: a launch is started and cancelled, a page is loaded.
            viewers=limit - min(256, max(32, limit // 8), limit // 2),
        )
        self.connections.on_room = self._resume
        self._write_timeout = settings.write_timeout
        self._listeners: list[socket.socket] = []
        self._paused: asyncio.TimerHandle | None = None
        self._summary = _Summary(settings.log)
        self._sweep = PeriodicCallback(self._drop_blocked, 1000.0)

    # -- accepting

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Accept connections on sockets."""
        for listener in sockets:
            self._listeners.append(listener)
            self._watch(listener)
        self._sweep.start()

    def stop(self) -> None:
        """Accept no more."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            if self._paused is None:
                IOLoop.current().remove_handler(listener)
            listener.close()
        if self._paused is not None:
            self._paused.cancel()
            self._paused = None
        self._sweep.stop()
        self._summary.close()

    def _watch(self, listener: socket.socket) -> None:
        IOLoop.current().add_handler(listener, self._accept, IOLoop.READ)

    def _accept(self, listener: socket.socket, _: int) -> None:
        for _number in range(_BATCH):
            if len(self.connections) >= self.connections.limit and not self._make_room():
                self._pause("As many connections are open as may be, and all are in use.")
                return
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                # Builds and logs have used up what was left of the descriptors.
                if error.errno not in _EXHAUSTED or not self._make_room():
                    self._pause(f"Accepting a connection failed: {error.strerror}.")
                return
            self._serve(sock, address)

    def _serve(self, sock: socket.socket, address: Any) -> None:
        connections, network = self.connections, client_network(address[0])
        # From loopback come proxies, and those who could stop the server anyway.
        if (
            network not in _LOOPBACK
            and connections.is_full(network)
            and not connections.make_room(network)
        ):
            self._summary.note("Refused a connection: its address has as many as one may have.")
            sock.close()
            return
        try:
            stream = Connection(
                sock,
                connections=connections,
                client=network,
                max_buffer_size=self.max_buffer_size,
                read_chunk_size=self.read_chunk_size,
            )
        except OSError:
            sock.close()  # it has gone already
            return
        connections.add(stream)
        self.handle_stream(stream, address)

    def _make_room(self) -> bool:
        if not self.connections.make_room():
            return False
        self._summary.note("Closed a connection that did nothing, to make room for others.")
        return True

    def _pause(self, reason: str) -> None:
        """Stop accepting for a moment. Without it the event loop would try at once, for ever."""
        if self._paused is not None:
            return
        self._summary.note(f"{reason} New ones wait.", level=logging.WARNING)
        for listener in self._listeners:
            IOLoop.current().remove_handler(listener)
        self._paused = asyncio.get_running_loop().call_later(_PAUSE, self._resume)

    def _resume(self) -> None:
        """Accept again, if that was stopped."""
        if self._paused is None:
            return
        self._paused.cancel()
        self._paused = None
        for listener in self._listeners:
            self._watch(listener)

    # -- what connections do

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """Wait for a request."""
        delegate = super().start_request(server_conn, request_conn)
        stream = request_conn.stream  # type: ignore[attr-defined] # it is an HTTP1Connection
        if stream.requests == 0:
            request_conn.params = self._first_params  # type: ignore[attr-defined] # see above
        stream.requests += 1
        self.connections.move(stream, State.WAITING)
        return _Delegate(delegate, stream)

    def _drop_blocked(self) -> None:
        deadline = monotonic() - self._write_timeout
        for connection in self.connections.of(State.ANSWERING):
            if connection.blocked and max(connection.progress, connection.since) < deadline:
                self._summary.note("Dropped a client that did not read its answer.")
                connection.close()


class _Delegate(HTTPMessageDelegate):
    """Notes when a request is complete."""

    def __init__(self, delegate: HTTPMessageDelegate, stream: Connection) -> None:
        self._delegate = delegate
        self._stream = stream

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._stream.connections.move(self._stream, State.ANSWERING)
        self._delegate.finish()

    def on_connection_close(self) -> None:
        self._delegate.on_connection_close()


class _Summary:
    """Says the same thing once a minute at most, and how often it was.

    Attack: a line of the log for each connection lets any client fill the disk.
    """

    def __init__(self, log: logging.Logger | logging.LoggerAdapter[Any]) -> None:
        self._log = log
        self._more: Counter[tuple[str, int]] = Counter()
        self._timers: dict[tuple[str, int], asyncio.TimerHandle] = {}

    def note(self, message: str, *, level: int = logging.INFO) -> None:
        """Log a message, now or with the next summary."""
        key = (message, level)
        if key in self._timers:
            self._more[key] += 1
            return
        self._log.log(level, "%s", message)
        self._start(key)

    def close(self) -> None:
        """Say no more."""
        for timer in self._timers.values():
            timer.cancel()

    def _start(self, key: tuple[str, int]) -> None:
        self._timers[key] = asyncio.get_running_loop().call_later(_SUMMARY, self._summarize, key)

    def _summarize(self, key: tuple[str, int]) -> None:
        del self._timers[key]
        if more := self._more.pop(key, 0):
            message, level = key
            self._log.log(level, "%s (%d times in the last minute)", message, more)
            self._start(key)
