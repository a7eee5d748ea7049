"""A viewer, and what the fan-out and its viewers need to know of each other."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from ..core.events import Encoded

__all__ = ["Format", "Settings", "Viewer"]


class Format(Protocol):
    """How events are sent over a kind of connection. Equal formats share their bytes."""

    @property
    def says_when(self) -> bool:
        """Whether viewers can be told when to reconnect."""
        ...

    @property
    def keepalive(self) -> bytes:
        """Bytes that clients ignore. They keep proxies from closing an idle connection."""
        ...

    def frame(self, events: Sequence[Encoded]) -> bytes:
        """Return the bytes of events."""
        ...

    def storage(self, *, waiting: bool) -> bytes:
        """Return the bytes that say whether events wait for storage. Empty: clients expect none."""
        ...


class Settings(Protocol):
    """Settings that may change at runtime."""

    keepalive: float
    """Seconds of silence after which a keepalive is sent; 0 turns keepalives off."""

    viewer_timeout: float
    """Seconds after which a viewer that does not read is dropped."""


class Group(Protocol):
    """The viewers to which one belongs."""

    @property
    def settings(self) -> Settings:
        """The settings of the fan-out."""
        ...

    def serve(self, viewer: Viewer) -> None:
        """Schedule the next slice for a viewer that is behind."""
        ...

    def catch_up(self, viewer: Viewer) -> bool:
        """Write a slice to a viewer that is behind. Return whether to continue at once."""
        ...

    def remove(self, viewer: Viewer) -> None:
        """Remove a viewer."""
        ...


class Viewer(ABC):
    """One connection that watches a launch."""

    __slots__ = ("_deadline", "audience", "has_ended", "position")

    def __init__(self) -> None:
        self.position = 0
        """The number of the last event that was sent to it."""
        self.audience: Group | None = None
        self.has_ended = False
        """Whether it was sent the end of the stream."""
        self._deadline: asyncio.TimerHandle | None = None

    @abstractmethod
    def send(self, data: bytes) -> bool:
        """Write to the connection, and do not wait.

        Returns
        -------
        bool
            Whether everything was written. If not, the rest is buffered, and nothing more is sent
            until `drained` is called.
        """

    @abstractmethod
    def end(self) -> None:
        """Send the end of the stream, and close the connection."""

    @abstractmethod
    def drop(self) -> None:
        """Close the connection of a viewer that does not read. It can resume."""

    @abstractmethod
    def forget(self) -> None:
        """Close the connection: the launch was forgotten and cannot be resumed."""

    @abstractmethod
    def restart(self, delay: float) -> None:
        """Close the connection: the server is being stopped. A second call changes nothing.

        Parameters
        ----------
        delay : float
            Seconds after which the viewer may resume, unless it was sent the end of the stream. If
            it cannot be told, its connection is closed then.
        """

    @property
    def settings(self) -> Settings:
        """The settings of the fan-out, while it watches."""
        assert self.audience is not None  # noqa: S101 - for the type checker
        return self.audience.settings

    def drained(self) -> None:
        """Continue: the buffer is empty."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self.audience is not None:
            self.audience.serve(self)

    def leave(self) -> None:
        """Remove the viewer, whose connection is closed."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self.audience is not None:
            self.audience.remove(self)
            self.audience = None

    def blocked(self) -> None:
        """Drop the viewer unless `drained` is called in time."""
        timeout = self.settings.viewer_timeout
        self._deadline = asyncio.get_running_loop().call_later(timeout, self.drop)
