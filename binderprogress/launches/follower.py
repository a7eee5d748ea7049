"""Shows a launch that another replica runs, as far as it is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..channels.durable import ChannelState, DurableStore
from ..core.events import Encoded
from ..errors import StorageError
from .build import FIRST, Build
from .launch import Launch
from .parts import Extent
from .restorer import Restorer
from .stored import StoredLaunch, build_lease, decode_launch, head_of, launch_lease, tail_of

__all__ = ["Follower"]

_RETRY = 1.0
"""Seconds until the store is asked again after an error."""


class Follower:
    """Keeps a launch up to date until it is over, or `stop` is called.

    Parameters
    ----------
    launch : Launch
    is_new : bool
        Whether it has no events yet. Otherwise, this replica ran it until now.
    store : DurableStore
    restorer : Restorer
    over : callable
        Called with the launch once it is over.
    gone : callable
        Called with the launch if it is not in the store any more.
    """

    def __init__(
        self,
        launch: Launch,
        *,
        is_new: bool,
        store: DurableStore,
        restorer: Restorer,
        over: Callable[[Launch], None],
        gone: Callable[[Launch], None],
    ) -> None:
        self.launch = launch
        self._store = store
        self._restorer = restorer
        self._over = over
        self._gone = gone
        self._stored: StoredLaunch
        self._build: Build | None = None
        self._changed = asyncio.Event()
        self._changed.set()
        self._is_lease_stale = True
        self._head, self._tail = head_of(launch.id), tail_of(launch.id)
        self._ids = [self._head, self._tail]
        self._unwatch = store.watch_lease(launch_lease(launch.id), self._lease_changed)
        self._unfollow = store.follow(self._ids, self._channels_changed)
        self._is_waiting = False
        """Whether nothing has changed since everything was shown."""
        self._shown_head: Extent | None = None
        """The head as it was shown last, if it may be followed by more of the build only."""
        self._read: dict[str, Encoded] = {}
        """By channel, the last event that was read. That of a closed channel stays the last."""
        self._shown = asyncio.get_running_loop().create_future()
        if not is_new:
            self._shown.set_result(True)
        self._is_absent = False
        """Whether it has no events."""
        self._task = asyncio.create_task(self._run(), name="follower")

    async def shown(self) -> bool:
        """Wait until it has events. Return whether there are any.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        shown: bool = await asyncio.shield(self._shown)
        return shown

    def cancel(self) -> None:
        """Stop soon. Nothing more is shown."""
        self._is_waiting = False
        self._task.cancel()

    async def stop(self) -> None:
        """Leave the launch as it is."""
        self.cancel()
        await asyncio.wait([self._task])

    def _lease_changed(self) -> None:
        self._is_lease_stale = True
        self._is_waiting = False
        self._changed.set()

    def _channels_changed(self) -> None:
        # As a rule, a build has printed something. To wake the task for it would take longer.
        if not self._is_waiting or not self._show_more():
            self._is_waiting = False
            self._changed.set()

    def _show_more(self) -> bool:
        """Show more events of the build, if nothing else has changed. Return whether it did."""
        head, build = self._shown_head, self._build
        extents = self._store.extents(self._ids)
        if head is None or build is None or extents is None or self._tail in extents:
            return False
        channel_id = build_lease(build.id)
        state = extents.get(channel_id)
        if state is None or extents.get(self._head) is not head.state:
            return False
        events = self._store.read_nowait(channel_id, state.last - 1, limit=1)
        if not events:
            return False
        self._read[channel_id] = events[0]
        of_build = Extent(state, events[0])
        self.launch.show(head, build=build, of_build=of_build, tail=None, cut=None)
        return True

    async def _run(self) -> None:
        try:
            while True:
                self._is_waiting = not self._changed.is_set()
                await self._changed.wait()
                self._is_waiting = False
                self._changed.clear()
                try:
                    if self._is_lease_stale and not await self._read_lease():
                        return
                    await self._show()
                    if self._is_absent:
                        return
                except StorageError as error:
                    if not self._shown.done():
                        self._shown.set_exception(error)
                        return
                    await asyncio.sleep(_RETRY)
                    self._lease_changed()
        finally:
            self._unwatch()
            self._unfollow()
            if not self._shown.done():
                self._shown.set_result(False)

    async def _read_lease(self) -> bool:
        """Read the state of the launch. Return whether to go on."""
        self._is_lease_stale = False
        lease = await self._store.find(launch_lease(self.launch.id))
        if lease is None:
            self._gone(self.launch)
            return False
        if lease.ended:
            is_whole = await self._restorer.ended(lease, self.launch) is not None
            if not self._shown.done():
                self._shown.set_result(is_whole)
            (self._over if is_whole else self._gone)(self.launch)
            return False
        self._stored = decode_launch(lease.state)
        if self._stored.build and self._build is None:
            name = build_lease(self._stored.build)
            if (build := await self._store.find(name)) is not None:
                self._build = await self._restorer.followed_build(self._stored, build)
                self._unfollow()
                self._ids.append(name)
                self._unfollow = self._store.follow(self._ids, self._channels_changed)
        return True

    async def _show(self) -> None:
        """Show what is known of the channels."""
        self._shown_head = None
        extents = self._store.extents(self._ids)
        if extents is None:
            return
        head = await self._extent(self._head, extents.get(self._head))
        if head is None or head.newest is None:
            # Nobody knows of the launch yet, or it is not shown any more.
            self._is_absent = not self._shown.done()
            return
        tail = await self._extent(self._tail, extents.get(self._tail))
        of_build, cut = None, None
        if self._build is not None:
            channel_id = build_lease(self._build.id)
            of_build = await self._extent(channel_id, extents.get(channel_id))
            if tail is not None and head.state.closed:
                last = tail.state.first - 1 - (head.state.last + 1 - FIRST)
                cut = await self._event(channel_id, last) if last >= FIRST else None
        self.launch.follow(self._stored)
        self.launch.show(head, build=self._build, of_build=of_build, tail=tail, cut=cut)
        if tail is None:
            self._shown_head = head
        if not self._shown.done():
            self._shown.set_result(True)

    async def _extent(self, channel_id: str, state: ChannelState | None) -> Extent | None:
        if state is None:
            return None
        newest = None
        if state.last >= state.first:
            newest = await self._event(channel_id, state.last)
        return Extent(state, newest)

    async def _event(self, channel_id: str, number: int) -> Encoded | None:
        known = self._read.get(channel_id)
        if known is not None and known.id == number:
            return known
        events = self._store.read_nowait(channel_id, number - 1, limit=1)
        if events is None:
            events = await self._store.read(channel_id, number - 1, limit=1)
        if not events:
            return None
        self._read[channel_id] = events[0]
        return events[0]
