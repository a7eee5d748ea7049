"""Builds and servers of remote BinderHubs, each told by one stream.

One GET of a BinderHub's ``/build/`` acts and streams, without ids: while something is built,
whoever asks joins that build; once there is an image, whoever asks gets a server. So the connection
that has followed a build is the one that gets the first server of it, and after a server was asked
for none is asked for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ...core.binderhub.stream import (
    LONGEST_FIELD,
    SPAWN_PHASES,
    TYPICAL,
    fields_of,
    message_of,
    phase_of,
    server_of,
)
from ...core.log.reader import Record
from ...core.phases import Phase
from ...core.specs import Spec
from ...errors import RefusedError
from ..base import (
    Attempt,
    BackendProfile,
    BuildResult,
    LaunchItems,
    LaunchRequest,
    ResolvedSpec,
    RunningServer,
)
from .failover import Tour, UnusableError
from .stream import BinderStream
from .upstreams import Upstreams

__all__ = ["UpstreamBuildResult", "UpstreamBuilder", "UpstreamLauncher", "UpstreamResolvedSpec"]

_BAD_END = {Phase.FAILED, Phase.CANCELLED}
# Of a BinderHub's `ready`: what it knows and we do not.
_FIELDS = ("image", "repo_url", "binder_ref_url", "binder_persistent_request")
# The launch itself has said so.
_SAID = {
    "Built image, launching...\n",
    "Found built image, launching...\n",
    "Launching server...\n",
}


class UpstreamResolvedSpec(ResolvedSpec, frozen=True):
    """What a BinderHub is asked for: only it looks up the ref."""

    @property
    def key(self) -> str:
        """The spec: another one is another build to a BinderHub."""
        return str(self.spec)


class UpstreamBuildResult(BuildResult, frozen=True, kw_only=True):
    """A build that is done, with the stream that goes on to a server.

    Attributes
    ----------
    stream : BinderStream
    """

    stream: BinderStream

    def abandon(self) -> None:
        """Close the stream, unless a launch has taken it over."""
        self.stream.abandon()


UpstreamRequest = LaunchRequest[UpstreamResolvedSpec, UpstreamBuildResult]


class UpstreamBuilder:
    """Lets BinderHubs build.

    Parameters
    ----------
    upstreams : Upstreams
    """

    profile = BackendProfile(typical=TYPICAL)

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    async def resolve(self, spec: Spec) -> UpstreamResolvedSpec:
        """Take a spec as it is; see `base.Builder.resolve`."""
        if spec.is_local:
            raise RefusedError("A BinderHub elsewhere has no folders of this machine.")
        return UpstreamResolvedSpec(spec, "")

    async def build(
        self, resolved: UpstreamResolvedSpec
    ) -> AsyncGenerator[Record | Attempt | UpstreamBuildResult, None]:
        """Follow a build, at one BinderHub or the next; see `base.Builder.build`."""
        tour = Tour(self._upstreams, resolved.spec)
        while True:
            hub, attempt = tour.next()
            if attempt is not None:
                yield attempt
            stream = BinderStream(self._upstreams, hub, resolved.spec)
            try:
                async with aclosing(self._follow(stream)) as items:
                    async for item in items:
                        yield item
                return
            except UnusableError as error:
                tour.fail(hub, error)

    async def _follow(
        self, stream: BinderStream
    ) -> AsyncGenerator[Record | UpstreamBuildResult, None]:
        """Follow one stream up to the end of the build; it stays open then."""
        built = False
        told = False
        try:
            await stream.open()
            while True:
                record = await stream.next()
                phase = phase_of(record)
                if phase in SPAWN_PHASES:
                    built = True
                    image = str(record.get("imageName") or "")[:LONGEST_FIELD]
                    found = not told and message_of(record).startswith("Found")
                    if phase is not Phase.BUILT:
                        stream.put_back(record)
                    yield UpstreamBuildResult(image, found, stream.hub.host, stream=stream)
                    return
                told = True
                yield Record("binderhub", record)
                if phase in _BAD_END:
                    raise await asyncio.to_thread(stream.failed, record)
        finally:
            # A BinderHub leaves it open for ever after a failed build.
            if not built:
                stream.close()


class UpstreamLauncher:
    """Lets BinderHubs start servers.

    Parameters
    ----------
    upstreams : Upstreams
    """

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    async def launch(self, request: UpstreamRequest) -> LaunchItems:
        """Take over the build's stream, or ask anew; see `base.Launcher.launch`."""
        built = request.result
        stream = built.stream if built.stream.take_over() else None
        spec, first = built.stream.spec, built.stream.hub
        tour = Tour(self._upstreams, spec, first=first)
        while True:
            if stream is None:
                hub, attempt = tour.next()
                if attempt is not None:
                    yield attempt
                stream = BinderStream(self._upstreams, hub, spec, has_image=hub is first)
            try:
                async with aclosing(self._follow(stream)) as items:
                    async for item in items:
                        yield item
                return
            except UnusableError as error:
                tour.fail(stream.hub, error)
                stream = None

    async def _follow(self, stream: BinderStream) -> AsyncGenerator[Record | RunningServer, None]:
        """Follow one stream to its end."""
        over = False
        try:
            await stream.open()
            while True:
                record = await stream.next()
                phase = phase_of(record)
                if phase is Phase.READY:
                    over = True
                    yield _served(stream, record)
                    return
                if message_of(record) not in _SAID:
                    yield Record("binderhub", record)
                if phase in _BAD_END:
                    over = True
                    raise await asyncio.to_thread(stream.failed, record)
        finally:
            stream.close()
            if stream.may_have_server and not over:
                self._upstreams.log.warning(
                    "A server of %s may come up at BinderHub %s that nobody will use",
                    stream.spec,
                    stream.hub.host,
                )

    async def stop(self, request: UpstreamRequest) -> None:
        """Do nothing: a BinderHub cannot be told. Its stream is closed already."""

    async def close(self) -> None:
        """Close all connections."""
        await self._upstreams.close()


def _served(stream: BinderStream, record: dict[str, Any]) -> RunningServer:
    url, token = server_of(record, stream.hub.url)
    return RunningServer(url, token, fields_of(record, _FIELDS), stream.hub.host)
