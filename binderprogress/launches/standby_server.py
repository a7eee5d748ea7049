"""A server that is started ahead of its launch."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from ..backends.base import BuildResult, LaunchRequest, ResolvedSpec, RunningServer
from ..channels.durable import Lease
from ..core.specs import Spec
from ..core.standby import Standing, State
from .caller import Caller
from .ledger import AnyCodec
from .ready_event import launch_request, stored_request
from .stored import (
    STANDBYS,
    StoredLaunch,
    StoredRequest,
    StoredStandby,
    decode_standby,
    encode,
    standby_lease,
)

__all__ = ["StandbyServer"]


class StandbyServer:
    """A server that is started ahead, or stands ready.

    Parameters
    ----------
    id : str
    spec : Spec
    request : LaunchRequest
        What the launcher is asked for.
    since : float
        When that was, in seconds since 1970.
    served : RunningServer or None
        None until it has answered.

    Attributes
    ----------
    state : State
    is_reserved : bool
        Whether a launch of this process is about to take it.
    is_dead : bool
        Whether it does not answer any more.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - what it is called everywhere
        spec: Spec,
        request: LaunchRequest[Any, Any],
        *,
        since: float,
        served: RunningServer | None = None,
    ) -> None:
        self.id = id
        self.spec = spec
        self.request = request
        self.since = since
        self.served = served
        self.state = State.STARTING if served is None else State.READY
        self.is_reserved = False
        self.is_dead = False

    @classmethod
    def new(
        cls,
        spec: Spec,
        resolved: ResolvedSpec,
        built: BuildResult,
        *,
        key: str,
        base_url: str,
        now: float,
    ) -> StandbyServer:
        """Return a server that is still to be requested.

        Parameters
        ----------
        spec : Spec
        resolved : ResolvedSpec
        built : BuildResult
        key : str
            Of the request; see `KeyMaker`.
        base_url : str
            The address of this server, for the variables of the Jupyter server.
        now : float
            Seconds since 1970.
        """
        # The launch that takes it finds its environment.
        found = msgspec.structs.replace(built, found=True)
        request = launch_request(spec, Caller(base_url=base_url), resolved, found, key=key)
        return cls(secrets.token_urlsafe(12), spec, request, since=now)

    @classmethod
    async def restored(cls, lease: Lease, codec: AnyCodec) -> StandbyServer:
        """Return what is stored of a server.

        Raises
        ------
        Exception
            If it cannot be decoded: whatever the codec raises.
        """
        stored = decode_standby(lease.state)
        spec = codec.spec(stored.spec)
        request = await stored_request(codec, stored.request, spec, Caller())
        standby_id = lease.name.removeprefix(STANDBYS)
        return cls(standby_id, spec, request, since=stored.since, served=stored.served)

    @property
    def key(self) -> str:
        """Identifies its environment: a repository at one commit."""
        return str(self.request.resolved.key)

    @property
    def lease(self) -> str:
        """The name of its lease."""
        return standby_lease(self.id)

    def stored(self, codec: AnyCodec, *, ended: bool = False) -> bytes:
        """Return the state for its lease."""
        return encode(
            StoredStandby(
                spec=codec.encode(self.spec),
                request=StoredRequest.of(self.request, codec),
                since=self.since,
                served=self.served,
            )
        )

    def outstanding(self, codec: AnyCodec) -> bytes:
        """Return the state for the lease of its clean-up: that of a launch with its request."""
        return encode(
            StoredLaunch(
                spec=codec.encode(self.spec),
                caller=Caller(),
                created=self.since,
                request=StoredRequest.of(self.request, codec),
            )
        )

    @property
    def running(self) -> LaunchRequest[Any, Any]:
        """The request as of a server that runs: for a launch that takes it, or to stop it."""
        return msgspec.structs.replace(self.request, resumed=True)

    def standing(self, now: float) -> Standing:
        """Return it for `core.standby.plan`."""
        return Standing(id=self.id, key=self.key, state=self.state, age=max(now - self.since, 0.0))

    def __repr__(self) -> str:
        # Its key and its token give access.
        return f"<StandbyServer {self.id[:6]}… {self.spec} {self.state}>"
