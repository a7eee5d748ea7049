"""What a channel store is. `binderprogress.launches` knows nothing else of stores.

A channel is an append-only, numbered sequence of encoded events with one writer. Events are shown
to viewers only once they are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from ..core.events import Encoded

__all__ = ["Broadcast", "ChannelStore", "Listener", "Meter", "PromptStore"]

Listener = Callable[[int, bool], None]
"""Called with the number of a channel's last event, and whether the channel is closed."""


class Broadcast:
    """Notifies any number of listeners of a change, in their order, without saying which."""

    def __init__(self) -> None:
        self._listeners: dict[Callable[[], None], None] = {}
        self._called: tuple[Callable[[], None], ...] | None = ()
        """The same, as `notify` needs it; None: they have changed."""

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, listener: Callable[[], None]) -> None:
        """Add a listener. Adding it again changes nothing."""
        self._listeners[listener] = None
        self._called = None

    def remove(self, listener: Callable[[], None]) -> None:
        """Remove a listener, if it was added."""
        self._listeners.pop(listener, None)
        self._called = None

    def notify(self) -> None:
        """Call every listener. Listeners must be quick and must not raise."""
        listeners = self._called
        if listeners is None:
            listeners = self._called = tuple(self._listeners)
        for listener in listeners:
            listener()


class Meter:
    """Counts bytes in use.

    Parameters
    ----------
    limit : int
        Bytes.
    """

    __slots__ = ("alarm", "limit", "used")

    def __init__(self, limit: int = 2**62) -> None:
        self.limit = limit
        self.used = 0
        self.alarm = limit
        """Room has to be made when `used` exceeds this. Set by `Budget`."""


class ChannelStore(Protocol):
    """Stores channels.

    All methods are called in one event loop. Calls for different channels may overlap. Calls for
    one channel may overlap only if they read.

    A method that cannot do what it should raises `StorageError` and changes nothing.
    `tests/channels/conformance.py` has the tests that every store must pass.
    """

    async def create(self, channel_id: str, *, first: int = 1, lease: str = "") -> None:
        """Create an empty channel.

        Parameters
        ----------
        channel_id : str
        first : int
            The number of its first event.
        lease : str
            The launch or build that it belongs to; see `durable.DurableStore`. Other stores ignore
            it.

        Raises
        ------
        ChannelConflictError
            If the channel exists.
        """
        ...

    async def append(self, channel_id: str, events: Sequence[Encoded], *, expected: int) -> None:
        """Append a batch of events: all of them, or none.

        When this returns, they are stored and can be read.

        Parameters
        ----------
        channel_id : str
        events : sequence of Encoded
            At least one, numbered without gaps from ``expected + 1`` on.
        expected : int
            The number of the channel's last event, as its writer knows it; ``first - 1`` if the
            channel is empty.

        Raises
        ------
        ChannelConflictError
            If the last event has another number, or the channel is closed. Nothing is changed.
        ChannelNotFoundError
            If there is no such channel.
        """
        ...

    def read_nowait(self, channel_id: str, after: int, *, limit: int) -> Sequence[Encoded] | None:
        """Return the events after the number `after`, at most `limit`, if they are in memory.

        Returns
        -------
        sequence of Encoded or None
            None if they have to be awaited with `read`.

        Raises
        ------
        ChannelNotFoundError
            If there is no such channel. A store that does not know at once returns None.
        """
        ...

    async def read(self, channel_id: str, after: int, *, limit: int) -> Sequence[Encoded]:
        """Return the events after the number `after`, at most `limit`.

        Raises
        ------
        ChannelNotFoundError
            If there is no such channel.
        """
        ...

    def watch(self, channel_id: str, listener: Listener) -> Callable[[], None]:
        """Have a listener called, in the event loop, after each append and when it is closed.

        Several changes may be reported in one call, and one change more than once. What is
        reported can be read. Listeners must be quick and must not raise.

        Returns
        -------
        callable
            Ends it: the listener is not called any more.

        Raises
        ------
        ChannelNotFoundError
            If there is no such channel. A store that does not know at once may ignore it.
        """
        ...

    async def close(self, channel_id: str) -> None:
        """Close a channel: nothing can be appended to it any more. Closing it again is allowed.

        Raises
        ------
        ChannelNotFoundError
            If there is no such channel.
        """
        ...

    async def discard(self, channel_id: str) -> None:
        """Delete a channel and its events, if it exists. Nobody is notified."""
        ...


@runtime_checkable
class PromptStore(ChannelStore, Protocol):
    """A store to which events can be appended without a task that waits for it.

    This is optional, and much cheaper for many channels with a few events each.
    """

    def append_soon(
        self,
        channel_id: str,
        events: Sequence[Encoded],
        *,
        expected: int,
        done: Callable[[Exception | None], None],
    ) -> None:
        """Append a batch of events, as `append` does.

        Parameters
        ----------
        channel_id, events, expected
            As of `append`.
        done : callable
            Called once in the event loop, perhaps before this returns: with None when `append`
            would return, or with what it would raise. If this raises, it is not called.
        """
        ...
