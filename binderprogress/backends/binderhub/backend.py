"""Builds and launches at remote BinderHubs.

One GET of a BinderHub's ``/build/`` both acts and streams, without ids. During a build, another
request joins it. Once the image exists, each request starts a server. So the connection that
followed a build gets its first server, and a request is never repeated after it may have started
one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

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
    PREFERRED_HOST,
    Attempt,
    BackendProfile,
    BuildResult,
    LaunchItems,
    LaunchRequest,
    ResolvedSpec,
    RunningServer,
)
from ..codec import Codec, decode
from .failover import Tour, UnusableError
from .stream import BinderStream
from .upstreams import Upstreams

__all__ = [
    "UpstreamBuildResult",
    "UpstreamBuilder",
    "UpstreamCodec",
    "UpstreamLauncher",
    "UpstreamResolvedSpec",
]

_BAD_END = {Phase.FAILED, Phase.CANCELLED}
# The fields of `ready` that only the BinderHub knows.
_FIELDS = ("image", "repo_url", "binder_ref_url", "binder_persistent_request")
# Messages that the launch itself has sent already.
_REDUNDANT = {
    "Built image, launching...\n",
    "Found built image, launching...\n",
    "Launching server...\n",
}


class UpstreamResolvedSpec(ResolvedSpec, frozen=True):
    """A spec whose ref is looked up by the BinderHub."""

    @property
    def key(self) -> str:
        """The spec. For a BinderHub, each spec is a build of its own."""
        return str(self.spec)


class UpstreamBuildResult(BuildResult, frozen=True, kw_only=True):
    """A finished build, with the stream that continues to a server.

    Attributes
    ----------
    stream : BinderStream
    """

    stream: BinderStream

    def abandon(self) -> None:
        """Close the stream, unless a launch has taken it over."""
        self.stream.abandon()


class _StoredResult(msgspec.Struct, frozen=True):
    spec: Spec
    image: str
    found: bool
    host: str


class UpstreamCodec(Codec[Spec, UpstreamResolvedSpec, UpstreamBuildResult]):
    """Encodes results without their stream, which ends with this process.

    Parameters
    ----------
    upstreams : Upstreams
    """

    def __init__(self, upstreams: Upstreams) -> None:
        super().__init__(Spec, UpstreamResolvedSpec, UpstreamBuildResult)
        self._upstreams = upstreams

    def encode(self, value: Spec | UpstreamResolvedSpec | UpstreamBuildResult) -> bytes:
        """Encode a value; see `Codec.encode`."""
        if not isinstance(value, UpstreamBuildResult):
            return super().encode(value)
        stored = _StoredResult(value.stream.spec, value.image, value.found, value.host)
        return msgspec.msgpack.encode(stored)

    def result(self, data: bytes) -> UpstreamBuildResult:
        """Decode a result; see `Codec.result`. Its server has to be started again."""
        stored = decode(data, _StoredResult)
        hubs = self._upstreams.hubs
        hub = next((hub for hub in hubs if hub.host == stored.host), hubs[0])
        stream = BinderStream(self._upstreams, hub, stored.spec, has_image=True)
        # Nobody goes on with it: another one is opened.
        stream.take_over()
        return UpstreamBuildResult(stored.image, stored.found, stored.host, stream=stream)


UpstreamRequest = LaunchRequest[UpstreamResolvedSpec, UpstreamBuildResult]


class UpstreamBuilder:
    """Builds at BinderHubs.

    Parameters
    ----------
    upstreams : Upstreams
    """

    profile = BackendProfile(typical=TYPICAL, builds_go_on=True, builds_to_launch=True)

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self.codec = UpstreamCodec(upstreams)

    async def resolve(self, spec: Spec) -> UpstreamResolvedSpec:
        """Return a spec without looking it up; see `base.Builder.resolve`."""
        if spec.is_local:
            raise RefusedError("A remote BinderHub cannot read folders of this machine.")
        return UpstreamResolvedSpec(spec, "")

    async def build(
        self, resolved: UpstreamResolvedSpec
    ) -> AsyncGenerator[Record | Attempt | UpstreamBuildResult, None]:
        """Build at the first BinderHub that can; see `base.Builder.build`."""
        tour = Tour(self._upstreams, resolved.spec, preferred=PREFERRED_HOST.get())
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
        """Follow a stream to the end of the build. It stays open after a successful build."""
        built = False
        has_records = False
        try:
            await stream.open()
            while True:
                record = await stream.next()
                phase = phase_of(record)
                if phase in SPAWN_PHASES:
                    built = True
                    image = str(record.get("imageName") or "")[:LONGEST_FIELD]
                    found = not has_records and message_of(record).startswith("Found")
                    if phase is not Phase.BUILT:
                        stream.put_back(record)
                    yield UpstreamBuildResult(image, found, stream.hub.host, stream=stream)
                    return
                has_records = True
                yield Record("binderhub", record)
                if phase in _BAD_END:
                    raise await asyncio.to_thread(stream.failed, record)
        finally:
            # A BinderHub never closes the stream of a failed build.
            if not built:
                stream.close()


class UpstreamLauncher:
    """Starts servers at BinderHubs.

    Parameters
    ----------
    upstreams : Upstreams
    """

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    async def launch(self, request: UpstreamRequest) -> LaunchItems:
        """Take over the stream of the build, or open another; see `base.Launcher.launch`."""
        built = request.result
        stream = built.stream if built.stream.take_over() else None
        spec, first = built.stream.spec, built.stream.hub
        tour = Tour(self._upstreams, spec, first=first)
        if request.resumed:
            yield Attempt(
                request.attempt + 1,
                f"This server was restarted, and lost the server that {first.host} was starting.",
            )
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
        """Follow a stream to its end."""
        ended = False
        try:
            await stream.open()
            while True:
                record = await stream.next()
                phase = phase_of(record)
                if phase is Phase.READY:
                    ended = True
                    yield _running_server(stream, record)
                    return
                if message_of(record) not in _REDUNDANT:
                    yield Record("binderhub", record)
                if phase in _BAD_END:
                    ended = True
                    raise await asyncio.to_thread(stream.failed, record)
        finally:
            stream.close()
            if stream.may_have_server and not ended:
                self._upstreams.log.warning(
                    "An unused server of %s may be starting at BinderHub %s",
                    stream.spec,
                    stream.hub.host,
                )

    async def stop(self, request: UpstreamRequest) -> None:
        """Do nothing, because a BinderHub cannot stop a server. Its stream is already closed."""

    async def close(self) -> None:
        """Close all connections."""
        await self._upstreams.close()


def _running_server(stream: BinderStream, record: dict[str, Any]) -> RunningServer:
    url, token = server_of(record, stream.hub.url)
    return RunningServer(url, token, fields_of(record, _FIELDS), stream.hub.host)
