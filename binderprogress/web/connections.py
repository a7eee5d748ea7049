"""Open connections of the HTTP server, and which of them is closed to make room for others."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from enum import Enum
from time import monotonic
from typing import Any

from tornado.iostream import IOStream

from ..core.client_address import client_network
from ..errors import TooManyRequestsError

__all__ = ["Connection", "Connections", "State", "as_viewer"]


class State(Enum):
    """What a connection is doing."""

    WAITING = "waiting"
    """Its request is not complete, or none was sent: it can be closed without harm."""
    ANSWERING = "answering"
    VIEWING = "viewing"


class Connection(IOStream):
    """The stream of a client's connection.

    Attributes
    ----------
    client : str
        The network of the peer; of a viewer, that of the client as a trusted proxy says it.
    requests : int
        How many were begun.
    since : float
        When it came into its state.
    progress : float
        When the client last took bytes of an answer.
    """

    def __init__(
        self, sock: socket.socket, *, connections: Connections, client: str, **kwargs: Any
    ) -> None:
        super().__init__(sock, **kwargs)
        self.connections = connections
        self.peer = self.client = client
        self.requests = 0
        self.state = State.WAITING
        self.since = self.progress = monotonic()

    @property
    def blocked(self) -> bool:
        """Whether the client does not take what is sent to it."""
        return self.writing()

    def write_to_fd(self, data: memoryview) -> int:
        """Write, and note when the client last took something."""
        written = super().write_to_fd(data)
        if written:
            self.progress = monotonic()
        return written

    def close_fd(self) -> None:
        """Close the socket; there is room for another one."""
        super().close_fd()
        self.connections.remove(self)


class Connections:
    """All open connections.

    Parameters
    ----------
    limit : int
        How many there may be.
    limit_per_client : int
        How many of one client; 0: no limit.
    viewers : int
        How many of them may be viewers: these stay, and the others need a place, too.
    """

    def __init__(self, *, limit: int, limit_per_client: int, viewers: int) -> None:
        self.limit = limit
        self.limit_per_client = limit_per_client
        self.viewers = viewers
        self.on_room: Callable[[], None] = lambda: None
        """Called when one was closed, or can be."""
        self._peers: dict[str, int] = {}
        self._states: dict[State, dict[str, dict[Connection, None]]] = {s: {} for s in State}
        self._counts = dict.fromkeys(State, 0)

    def __len__(self) -> int:
        return sum(self._counts.values())

    def count(self, state: State) -> int:
        """Return how many are in a state."""
        return self._counts[state]

    def of(self, state: State) -> Iterable[Connection]:
        """Return those in a state."""
        return [c for connections in self._states[state].values() for c in connections]

    def add(self, connection: Connection) -> None:
        """Take in a new one."""
        self._peers[connection.peer] = self._peers.get(connection.peer, 0) + 1
        self._put(connection)

    def remove(self, connection: Connection) -> None:
        """Forget one that is closed."""
        if not self._take(connection):
            return
        left = self._peers[connection.peer] - 1
        if left:
            self._peers[connection.peer] = left
        else:
            del self._peers[connection.peer]
        self.on_room()

    def move(self, connection: Connection, state: State, *, client: str = "") -> None:
        """Note that one is in another state now, and whom a proxy stands for."""
        if not self._take(connection):
            return
        connection.state, connection.since = state, monotonic()
        connection.client = client or connection.peer
        self._put(connection)
        if state is State.WAITING:
            self.on_room()

    def make_room(self, peer: str = "") -> bool:
        """Close a connection that does nothing, so that another can be opened.

        Parameters
        ----------
        peer : str
            Only one of this peer.

        Returns
        -------
        bool
            Whether there was one.
        """
        victim = self._oldest_waiting(peer) or self._longest_blocked(peer)
        if victim is None:
            return False
        victim.close()
        return True

    def is_full(self, peer: str) -> bool:
        """Whether a peer has as many as one may have."""
        return bool(self.limit_per_client) and self._peers.get(peer, 0) >= self.limit_per_client

    def admit_viewer(self, connection: Connection, client: str) -> None:
        """Let a connection become a viewer.

        When all places are taken, the oldest viewer of the client with the most is closed; it can
        resume. So one client cannot keep the others out.

        Raises
        ------
        TooManyRequestsError
            If no client has more than this one would have.
        """
        if connection.state is State.VIEWING:
            return
        if self.count(State.VIEWING) >= self.viewers:
            viewers = self._states[State.VIEWING]
            largest = max(viewers, key=lambda name: len(viewers[name]))
            if len(viewers[largest]) <= len(viewers.get(client, ())) + 1:
                raise TooManyRequestsError(
                    "Too many people are watching launches on this server. Try again in a minute.",
                    retry_after=60.0,
                )
            next(iter(viewers[largest])).close()
        self.move(connection, State.VIEWING, client=client)

    def _oldest_waiting(self, peer: str) -> Connection | None:
        waiting = self._states[State.WAITING]
        if not waiting or (peer and peer not in waiting):
            return None
        # Of the client with the most: who opens many loses their own first.
        client = peer or max(waiting, key=lambda name: len(waiting[name]))
        return next(iter(waiting[client]))

    def _longest_blocked(self, peer: str) -> Connection | None:
        blocked = [
            connection
            for state in (State.ANSWERING, State.VIEWING)
            for connection in self.of(state)
            if connection.blocked and peer in ("", connection.peer)
        ]
        return min(blocked, key=lambda connection: connection.progress, default=None)

    def _put(self, connection: Connection) -> None:
        clients = self._states[connection.state]
        clients.setdefault(connection.client, {})[connection] = None
        self._counts[connection.state] += 1

    def _take(self, connection: Connection) -> bool:
        clients = self._states[connection.state]
        if connection not in clients.get(connection.client, ()):
            return False
        del clients[connection.client][connection]
        if not clients[connection.client]:
            del clients[connection.client]
        self._counts[connection.state] -= 1
        return True


def as_viewer(stream: IOStream | None, client: str) -> None:
    """Let a connection become a viewer, where the server is ours.

    Raises
    ------
    TooManyRequestsError
        If there is no place for it.
    """
    if isinstance(stream, Connection):
        stream.connections.admit_viewer(stream, client_network(client))
