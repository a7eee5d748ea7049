"""The windows of all channels that this process writes to or watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from ...core.events import Encoded
from ..base import Listener
from ..durable import ChannelState
from .window import Window

__all__ = ["Windows"]


class Windows:
    """Keeps windows, and tells watchers what was stored.

    Parameters
    ----------
    size : int
        Bytes of events in each.
    refresh : callable
        Called with channels whose windows have to be compared with the database.
    """

    def __init__(self, size: int, refresh: Callable[[Iterable[str]], None]) -> None:
        self.size = size
        self._refresh = refresh
        self._windows: dict[str, Window] = {}
        self._awaited: dict[str, Window] = {}
        """Those that are followed, of channels that do not exist yet."""

    def __contains__(self, channel_id: object) -> bool:
        return channel_id in self._windows

    def get(self, channel_id: str) -> Window | None:
        """Return the window of a channel."""
        return self._windows.get(channel_id)

    @property
    def watched(self) -> list[str]:
        """The channels with listeners."""
        return [channel_id for channel_id, window in self._windows.items() if window.listeners]

    def read(self, channel_id: str, after: int, limit: int) -> Sequence[Encoded] | None:
        """Return events after a number; None if they are not in memory."""
        window = self._windows.get(channel_id)
        return None if window is None else window.read(after, limit)

    def with_awaited(self, ids: Iterable[str]) -> set[str]:
        """Return channels, with those that are followed beside them and do not exist yet."""
        found = set(ids)
        for channel_id in tuple(found):
            window = self._windows.get(channel_id)
            if window is not None:
                found.update([name for name in window.beside if name in self._awaited])
        return found

    # -- what was stored

    def own(self, channel_id: str, state: ChannelState) -> None:
        """Keep a window of a channel, because this process writes to it."""
        window = self._windows.setdefault(channel_id, Window(self.size))
        self._awaited.pop(channel_id, None)
        window.describe(state.first, state.last, closed=state.closed)
        window.mine = True

    def disown(self, channel_id: str) -> None:
        """Note that another replica writes to a channel now."""
        window = self._windows.get(channel_id)
        if window is not None:
            window.mine = False
            if window.listeners:
                self._refresh([channel_id])
            else:
                self.forget(channel_id)

    def extend(self, channel_id: str, events: Sequence[Encoded]) -> None:
        """Add events that were stored."""
        window = self._windows.get(channel_id)
        if window is not None:
            window.extend(events)
            window.notify()

    def describe(self, channel_id: str, state: ChannelState) -> None:
        """Note the extent of a channel. It may be more than what this process knows to be stored.

        That is so if the answer to a write was lost.
        """
        window = self._windows.get(channel_id)
        if window is not None and window.describe(state.first, state.last, closed=state.closed):
            window.notify()

    def close(self, channel_id: str) -> None:
        """Note that a channel was closed."""
        window = self._windows.get(channel_id)
        if window is None:
            return
        if not window.closed:
            window.closed = True
            window.notify()
        if not window.listeners:
            self.forget(channel_id)

    def forget(self, channel_id: str) -> None:
        """Drop the window of a channel. Nobody is told."""
        self._windows.pop(channel_id, None)
        self._awaited.pop(channel_id, None)

    def compared(self, channel_id: str, state: ChannelState | None) -> bool:
        """Note what the database says. Return whether the channel has begun or gone.

        That is so for a new follower, too.
        """
        window = self._windows.get(channel_id)
        if window is None:
            return False
        is_news = not window.is_compared or (state is None) != (window.extent is None)
        window.extent, window.is_compared = state, True
        if state is not None:
            self._awaited.pop(channel_id, None)
        elif window.listeners:
            self._awaited[channel_id] = window
        return is_news

    # -- watching

    def watch(self, channel_id: str, listener: Listener) -> Callable[[], None]:
        """Have a listener called; see `base.ChannelStore.watch`."""
        window = self._windows.get(channel_id)
        if window is None:
            window = self._windows[channel_id] = Window(self.size)
            self._refresh([channel_id])
        elif not window.mine and window.first is not None:
            # As the first one has heard: how far it is.
            asyncio.get_running_loop().call_soon(window.notify, listener)
        window.listeners.add(listener)
        return partial(self._unwatch, channel_id, window, listener)

    def follow(self, ids: Iterable[str], listener: Callable[[], None]) -> Callable[[], None]:
        """Have a listener called; see `durable.DurableStore.follow`."""
        followed = {name: self._windows.setdefault(name, Window(self.size)) for name in ids}

        def changed(_last: int, _closed: bool) -> None:
            listener()

        for name, window in followed.items():
            # It may have been when this process was its owner.
            window.mine = window.is_compared = False
            window.listeners.add(changed)
            window.beside.update(followed)
            if window.first is None:
                self._awaited[name] = window
        self._refresh(followed)

        def unfollow() -> None:
            for name, window in followed.items():
                self._unwatch(name, window, changed)

        return unfollow

    def extents(self, ids: Iterable[str]) -> Mapping[str, ChannelState] | None:
        """Return the extents of channels; see `durable.DurableStore.extents`."""
        found = {}
        for name in ids:
            window = self._windows.get(name)
            if window is None or not window.is_compared:
                return None
            if window.extent is not None:
                found[name] = window.extent
        return found

    def _unwatch(self, channel_id: str, window: Window, listener: Listener) -> None:
        window.listeners.discard(listener)
        is_needed = window.listeners or (window.mine and not window.closed)
        if not is_needed and self._windows.get(channel_id) is window:
            self.forget(channel_id)
