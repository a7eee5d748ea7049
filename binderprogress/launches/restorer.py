"""Makes launches and builds of what is stored of them."""

from __future__ import annotations

import msgspec

from ..channels.durable import ChannelState, Lease
from ..core.specs import Spec
from .build import Build
from .channel_factory import Channels
from .factory import Factory
from .launch import Launch
from .ledger import Ledger
from .ready_event import stored_plan, stored_request
from .shared_builds import SharedBuilds
from .stored import (
    StoredLaunch,
    build_lease,
    decode_build,
    decode_launch,
    head_of,
    launch_lease,
    tail_of,
)

__all__ = ["Restorer"]


class Restorer:
    """Restores launches and builds from a durable store. It does not take their leases.

    Parameters
    ----------
    ledger : Ledger
    factory : Factory
    channels : Channels
    builds : SharedBuilds
        Builds that run here are used as they are.
    """

    def __init__(
        self, ledger: Ledger, *, factory: Factory, channels: Channels, builds: SharedBuilds
    ) -> None:
        self._ledger = ledger
        self._factory = factory
        self._channels = channels
        self._builds = builds

    async def ended(self, lease: Lease, into: Launch | None = None) -> Launch | None:
        """Return a launch that is over; None if its events are gone.

        Parameters
        ----------
        lease : Lease
        into : Launch, optional
            The launch, if it is shown already.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        stored = decode_launch(lease.state)
        build = None
        if stored.build:
            build = await self._build_of_ended(stored)
            if build is None and not await self._is_whole(lease.name.removeprefix("launch.")):
                # Its events are gone, and those of the launch are not complete without them.
                return None
        try:
            launch_id = lease.name.removeprefix("launch.")
            return await self.launch(launch_id, stored, build, into)
        finally:
            is_running = build is not None and self.running_build(build.id) is build
            if build is not None and not (build.readers or is_running):
                build.let_go()

    async def launch(
        self,
        launch_id: str,
        stored: StoredLaunch,
        build: Build | None,
        into: Launch | None = None,
        *,
        taken: Lease | None = None,
    ) -> Launch | None:
        """Return a launch that goes on where its events end; None if it has no event.

        Parameters
        ----------
        launch_id : str
        stored : StoredLaunch
        build : Build or None
        into : Launch, optional
            The launch, if it is shown already.
        taken : Lease, optional
            Its lease, as this replica has taken it. None: the launch is over.

        Raises
        ------
        LeaseLostError
            If another replica has taken it meanwhile. What was read here may not fit together then.
        StorageError
            If the store cannot be read.
        """
        is_over = taken is None
        lease = launch_lease(launch_id)
        head = await self._channels.restore(head_of(launch_id), lease=lease)
        if head is None:
            return None
        if head.newest is None:
            head.discard()
            return None
        # Its owner may have been gone before it had closed it.
        head.closed = head.closed or is_over
        tail = await self._channels.restore(tail_of(launch_id), lease=lease)
        cut = await Launch.last_of(build, head, tail)
        if taken is not None:
            await self._ledger.confirm(taken)
        launch = into or self.shown(launch_id, stored)
        if build is not None:
            build.users += 1
        try:
            await launch.restore(stored, head, tail, build, cut=cut)
            if stored.plan is not None and not is_over:
                launch.plan = await stored_plan(self._ledger.codec, stored, launch.spec)
            # Without a build, it has taken a server that stood ready.
            if stored.request is not None and not is_over and (build or not stored.build):
                request = await stored_request(
                    self._ledger.codec, stored.request, launch.spec, stored.caller
                )
                attempt = max(request.attempt, launch.server_attempt)
                launch.request = msgspec.structs.replace(request, attempt=attempt)
                launch.built = launch.built or request.result
        except BaseException:
            launch.let_go(build, is_shown=into is not None)
            raise
        return launch

    def shown(self, launch_id: str, stored: StoredLaunch) -> Launch:
        """Return a launch without events."""
        spec: Spec = self._ledger.codec.spec(stored.spec)
        return self._factory.launch(
            spec, stored.caller, launch_id=launch_id, created=stored.created
        )

    async def _is_whole(self, launch_id: str) -> bool:
        """Return whether a launch has events of its own only. Its build may never have begun."""
        head = await self._channels.restore(head_of(launch_id))
        tail = await self._channels.restore(tail_of(launch_id))
        is_whole = head is not None and tail is not None and tail.first == head.last + 1
        for channel in (head, tail):
            if channel is not None:
                channel.discard()
        return is_whole

    def running_build(self, build_id: str) -> Build | None:
        """Return a build that runs here."""
        return next((one for one in self._builds.running if one.id == build_id), None)

    async def _build_of_ended(self, launch: StoredLaunch) -> Build | None:
        """Return the build of a launch that is over; the build may go on for others."""
        lease = await self._ledger.find(build_lease(launch.build))
        running = self.running_build(launch.build)
        if running is not None and (lease is None or not self._ledger.is_elsewhere(lease)):
            # One that another replica has taken over may still seem to run here.
            return running
        if lease is None:
            return None
        if lease.ended:
            # Its result is for launches that go on; another backend may have written it.
            return await self.ended_build(launch, lease, needs_result=False)
        build = await self.followed_build(launch, lease)
        channel = await self._channels.restore(lease.name)
        if channel is not None:
            state = ChannelState(channel.first, channel.last, channel.closed)
            build.channel.follow(state, channel.newest)
            channel.discard()
        return build

    async def ended_build(
        self, launch: StoredLaunch, lease: Lease, *, needs_result: bool = True
    ) -> Build:
        """Return the build of a launch, which is over, with its result if that is needed.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        build = await self.build(launch, lease, launch.build, needs_result=needs_result)
        build.go_on(is_over=True)
        return build

    async def build(
        self, launch: StoredLaunch, lease: Lease, build_id: str, *, needs_result: bool = True
    ) -> Build:
        """Return the build of a launch, with its events so far, and its result if that is needed.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        channel = await self._channels.restore(build_lease(build_id), lease=lease.name)
        stored = decode_build(lease.state)
        codec = self._ledger.codec
        resolved = await codec.resolved(stored.resolved)
        build = self._factory.build(
            codec.spec(launch.spec), resolved, launch.caller, build_id=build_id
        )
        if stored.result and needs_result:
            build.built = codec.result(stored.result)
        if channel is not None:
            await build.restore(stored, channel)
        return build

    async def followed_build(self, launch: StoredLaunch, lease: Lease) -> Build:
        """Return the build of a launch that another replica runs, without its events.

        Raises
        ------
        StorageError
            If what is stored of it cannot be decoded.
        """
        stored = decode_build(lease.state)
        codec = self._ledger.codec
        resolved = await codec.resolved(stored.resolved)
        build = self._factory.build(
            codec.spec(launch.spec), resolved, launch.caller, build_id=launch.build
        )
        build.follow(stored)
        return build
