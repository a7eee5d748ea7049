"""Open connections of the HTTP server, and which of them to close when there are too many."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from enum import Enum
from time import monotonic
from typing import Any

from tornado.iostream import IOStream

from ..core.client_address import client_network
from ..errors import TooManyRequestsError

__all__ = ["ClientConnection", "ConnectionState", "Connections", "admit_viewer"]


class ConnectionState(Enum):
    """What a connection is doing."""

    WAITING = "waiting"
    """No complete request has arrived. It can be closed without harm."""
    ANSWERING = "answering"
    VIEWING = "viewing"


class ClientConnection(IOStream):
    """A client's connection.

    Parameters
    ----------
    sock : socket.socket
    connections : Connections
        Where it is counted.
    client : str
        Network of the peer.
    **kwargs
        Passed to `IOStream`.

    Attributes
    ----------
    peer : str
        Network of the peer.
    client : str
        Network of the client. It differs from `peer` for viewers behind a trusted proxy.
    requests : int
        Number of requests that have started.
    since : float
        When its state changed, in monotonic seconds.
    progress : float
        When the client last read part of a response, in monotonic seconds.
    """

    def __init__(
        self, sock: socket.socket, *, connections: Connections, client: str, **kwargs: Any
    ) -> None:
        super().__init__(sock, **kwargs)
        self.connections = connections
        self.peer = self.client = client
        self.requests = 0
        self.state = ConnectionState.WAITING
        self.since = self.progress = monotonic()

    @property
    def blocked(self) -> bool:
        """Whether the client is not reading the response."""
        return self.writing()

    @property
    def is_idle(self) -> bool:
        """Whether it was used for a request before, and the next one has not begun to arrive."""
        if self.state is not ConnectionState.WAITING or self.requests < 2:
            return False
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False  # it is broken, and about to be closed

    def write_to_fd(self, data: memoryview) -> int:
        """Write to the socket, and update `progress`."""
        written = super().write_to_fd(data)
        if written:
            self.progress = monotonic()
        return written

    def close_fd(self) -> None:
        """Close the socket."""
        super().close_fd()
        self.connections.remove(self)


class Connections:
    """All open connections.

    Parameters
    ----------
    limit : int
        Maximum number of connections.
    limit_per_client : int
        Maximum number of connections of one client; 0 disables the limit.
    max_viewers : int
        Maximum number of viewers. It is lower than `limit`, so that requests can still be served.
    """

    def __init__(self, *, limit: int, limit_per_client: int, max_viewers: int) -> None:
        self.limit = limit
        self.limit_per_client = limit_per_client
        self.max_viewers = max_viewers
        self.on_room: Callable[[], None] = lambda: None
        """Called when a connection was closed, or could now be closed."""
        self._peers: dict[str, int] = {}
        self._states: dict[ConnectionState, dict[str, dict[ClientConnection, None]]] = {
            state: {} for state in ConnectionState
        }
        self._counts = dict.fromkeys(ConnectionState, 0)

    def __len__(self) -> int:
        return sum(self._counts.values())

    def count(self, state: ConnectionState) -> int:
        """Return the number of connections in a state."""
        return self._counts[state]

    def in_state(self, state: ConnectionState) -> Iterable[ClientConnection]:
        """Return the connections in a state."""
        return [c for connections in self._states[state].values() for c in connections]

    def add(self, connection: ClientConnection) -> None:
        """Add a new connection."""
        self._peers[connection.peer] = self._peers.get(connection.peer, 0) + 1
        self._insert(connection)

    def remove(self, connection: ClientConnection) -> None:
        """Remove a closed connection."""
        if not self._discard(connection):
            return
        remaining = self._peers[connection.peer] - 1
        if remaining:
            self._peers[connection.peer] = remaining
        else:
            del self._peers[connection.peer]
        self.on_room()

    def move(
        self, connection: ClientConnection, state: ConnectionState, *, client: str = ""
    ) -> None:
        """Change the state of a connection.

        Parameters
        ----------
        connection : ClientConnection
        state : ConnectionState
        client : str
            Network of the client that a proxy speaks for; empty for the peer itself.
        """
        if not self._discard(connection):
            return
        connection.state, connection.since = state, monotonic()
        connection.client = client or connection.peer
        self._insert(connection)
        if state is ConnectionState.WAITING:
            self.on_room()

    def make_room(self, peer: str = "", *, idle: float = 0.0) -> bool:
        """Close an idle connection, so that another one can be opened.

        Parameters
        ----------
        peer : str
            Close only a connection of this peer; empty for any.
        idle : float
            Seconds for which it must have waited for a request.

        Returns
        -------
        bool
            Whether a connection was closed.
        """
        victim = self._oldest_waiting(peer)
        if victim is not None and victim.since > monotonic() - idle:
            victim = None
        victim = victim or self._longest_blocked(peer)
        if victim is None:
            return False
        victim.close()
        return True

    def close_idle(self) -> None:
        """Close connections that wait for another request."""
        for connection in self.in_state(ConnectionState.WAITING):
            if connection.is_idle:
                connection.close()

    def is_full(self, peer: str) -> bool:
        """Whether a peer has reached its limit."""
        return bool(self.limit_per_client) and self._peers.get(peer, 0) >= self.limit_per_client

    def admit_viewer(self, connection: ClientConnection, client: str) -> None:
        """Make a connection a viewer.

        At the limit, the client with the most viewers loses its oldest one, which can resume. So no
        client can lock out the others.

        Raises
        ------
        TooManyRequestsError
            If no client has more viewers than this one would have.
        """
        if connection.state is ConnectionState.VIEWING:
            return
        if self.count(ConnectionState.VIEWING) >= self.max_viewers:
            viewers = self._states[ConnectionState.VIEWING]
            largest = max(viewers, key=lambda name: len(viewers[name]))
            if len(viewers[largest]) <= len(viewers.get(client, ())) + 1:
                raise TooManyRequestsError(
                    "Too many people are watching launches on this server. Try again in a minute.",
                    retry_after=60.0,
                )
            next(iter(viewers[largest])).close()
        self.move(connection, ConnectionState.VIEWING, client=client)

    def _oldest_waiting(self, peer: str) -> ClientConnection | None:
        waiting = self._states[ConnectionState.WAITING]
        if not waiting or (peer and peer not in waiting):
            return None
        # The client with the most connections loses one first.
        client = peer or max(waiting, key=lambda name: len(waiting[name]))
        return next(iter(waiting[client]))

    def _longest_blocked(self, peer: str) -> ClientConnection | None:
        blocked = [
            connection
            for state in (ConnectionState.ANSWERING, ConnectionState.VIEWING)
            for connection in self.in_state(state)
            if connection.blocked and peer in ("", connection.peer)
        ]
        return min(blocked, key=lambda connection: connection.progress, default=None)

    def _insert(self, connection: ClientConnection) -> None:
        clients = self._states[connection.state]
        clients.setdefault(connection.client, {})[connection] = None
        self._counts[connection.state] += 1

    def _discard(self, connection: ClientConnection) -> bool:
        clients = self._states[connection.state]
        if connection not in clients.get(connection.client, ()):
            return False
        del clients[connection.client][connection]
        if not clients[connection.client]:
            del clients[connection.client]
        self._counts[connection.state] -= 1
        return True


def admit_viewer(stream: IOStream | None, client: str) -> None:
    """Make a connection a viewer if it belongs to an `HttpServer`; see `Connections.admit_viewer`.

    Parameters
    ----------
    stream : IOStream or None
        The connection's stream.
    client : str
        IP address of the client.

    Raises
    ------
    TooManyRequestsError
        If there are too many viewers.
    """
    if isinstance(stream, ClientConnection):
        stream.connections.admit_viewer(stream, client_network(client))
