"""What is stored of launches and builds, so that a successor can go on with them.

The events are in the channels. What can be computed from them, such as the phase, is not stored
here. Later versions read what earlier ones stored: new fields have defaults.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from ..backends.base import LaunchRequest, RunningServer, ServerPlan
from ..backends.codec import Codec
from ..core.events import DoneAhead
from ..core.timing.spans import StepChange
from ..core.traceparent import TraceParent
from ..errors import StoredStateError
from .caller import Caller

__all__ = [
    "LAUNCHES",
    "STANDBYS",
    "StoredBuild",
    "StoredLaunch",
    "StoredPlan",
    "StoredRequest",
    "StoredStandby",
    "build_lease",
    "cleanup_lease",
    "decode_build",
    "decode_launch",
    "decode_standby",
    "encode",
    "head_of",
    "launch_lease",
    "retired_by",
    "retirement_lease",
    "standby_lease",
    "tail_of",
]


LAUNCHES = "launch."
"""What the names of the leases of launches begin with."""

STANDBYS = "standby."
"""What the names of the leases of servers that are started ahead begin with."""


class StoredRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a launcher was asked for; see `backends.base.LaunchRequest`.

    Attributes
    ----------
    key, token : str
    resolved, result : bytes
        As the backend's codec encodes them.
    name : str
        Empty: that of the launch's spec.
    attempt : int
        That of a server that stood ready.
    """

    key: str
    token: str
    resolved: bytes
    result: bytes
    name: str = ""
    attempt: int = 1

    @classmethod
    def of(cls, request: LaunchRequest[Any, Any], codec: Codec[Any, Any, Any]) -> StoredRequest:
        """Return what is stored of a request."""
        return cls(
            key=request.key,
            token=request.token,
            resolved=codec.encode(request.resolved),
            result=codec.encode(request.result),
            name=request.name,
            attempt=request.attempt,
        )


class StoredPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A server that is to be requested; see `backends.base.ServerPlan`.

    Attributes
    ----------
    key : str
    resolved : bytes
        As the backend's codec encodes it.
    """

    key: str
    resolved: bytes

    @classmethod
    def of(cls, plan: ServerPlan[Any], codec: Codec[Any, Any, Any]) -> StoredPlan:
        """Return what is stored of a plan."""
        return cls(key=plan.key, resolved=codec.encode(plan.resolved))


class StoredLaunch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A launch.

    Attributes
    ----------
    spec : bytes
        As the backend's codec encodes it.
    caller : Caller
    created : float
        Seconds since 1970.
    build : str
        The id of its build. Empty until it has one.
    joined : bool
        Whether the build was started by another launch.
    log_cut : int or None
        How many bytes of the build's log belong to it; None: all.
    request : StoredRequest or None
        What the launcher was asked for. It is stored before the launcher is asked.
    plan : StoredPlan or None
        What it will be asked for. It is stored before anything is prepared.
    ahead : list of DoneAhead
        What was prepared before the launcher was asked.
    span : TraceParent or None
    seconds : float
        How long it took. 0 until it has ended.
    head_changes, tail_changes : list of StepChange
        Of its own events, once it has ended.
    """

    spec: bytes
    caller: Caller
    created: float
    build: str = ""
    joined: bool = False
    log_cut: int | None = None
    request: StoredRequest | None = None
    plan: StoredPlan | None = None
    ahead: list[DoneAhead] = []
    span: TraceParent | None = None
    seconds: float = 0.0
    head_changes: list[StepChange] = []
    tail_changes: list[StepChange] = []


class StoredBuild(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A build.

    Attributes
    ----------
    resolved : bytes
        As the backend's codec encodes it.
    began : float
        Seconds since 1970.
    starts : int
        How often it was started.
    result : bytes
        As the codec encodes it. It is stored before the event that tells of it.
    changes : list of StepChange
        Once it has ended.
    """

    resolved: bytes
    began: float
    starts: int = 1
    result: bytes = b""
    changes: list[StepChange] = []


class StoredStandby(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A server that is started ahead, or stands ready.

    Attributes
    ----------
    spec : bytes
        As the backend's codec encodes it.
    request : StoredRequest
    since : float
        When it was requested, in seconds since 1970.
    served : RunningServer or None
        None until it has answered.
    """

    spec: bytes
    request: StoredRequest
    since: float
    served: RunningServer | None = None


def launch_lease(launch_id: str) -> str:
    """Return the name of a launch's lease."""
    return f"{LAUNCHES}{launch_id}"


def build_lease(build_id: str) -> str:
    """Return the name of a build's lease, and of its channel."""
    return f"build.{build_id}"


def cleanup_lease(launch_id: str) -> str:
    """Return the name of the lease of a launch's server that is still to be removed."""
    return f"cleanup.{launch_id}"


def retirement_lease(standby_id: str) -> str:
    """Return the name of the lease of a server that stood ready and is still to be removed."""
    return cleanup_lease(standby_lease(standby_id))


def retired_by(cleanup: str) -> str:
    """Return the lease of the server that a clean-up retires. Empty: it is that of a launch."""
    lease = cleanup.removeprefix(cleanup_lease(""))
    return lease if lease.startswith(STANDBYS) else ""


def standby_lease(standby_id: str) -> str:
    """Return the name of the lease of a server that is started ahead."""
    return f"{STANDBYS}{standby_id}"


def head_of(launch_id: str) -> str:
    """Return the id of the channel with a launch's first events."""
    return f"launch.{launch_id}.head"


def tail_of(launch_id: str) -> str:
    """Return the id of the channel with a launch's own events after those of its build."""
    return f"launch.{launch_id}.tail"


def encode(stored: StoredLaunch | StoredBuild | StoredStandby) -> bytes:
    """Return the state for a lease."""
    return _encoder.encode(stored)


def decode_launch(state: bytes) -> StoredLaunch:
    """Decode the state of a launch.

    Raises
    ------
    StoredStateError
        If it cannot be decoded.
    """
    return _decode(_launches, state)


def decode_build(state: bytes) -> StoredBuild:
    """Decode the state of a build.

    Raises
    ------
    StoredStateError
        If it cannot be decoded.
    """
    return _decode(_builds, state)


def decode_standby(state: bytes) -> StoredStandby:
    """Decode the state of a server that is started ahead.

    Raises
    ------
    StoredStateError
        If it cannot be decoded.
    """
    return _decode(_standbys, state)


T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_launches = msgspec.msgpack.Decoder(StoredLaunch)
_builds = msgspec.msgpack.Decoder(StoredBuild)
_standbys = msgspec.msgpack.Decoder(StoredStandby)


def _decode(decoder: msgspec.msgpack.Decoder[T], state: bytes) -> T:
    try:
        return decoder.decode(state)
    except msgspec.DecodeError as error:
        raise StoredStateError(f"What is stored of a launch cannot be read: {error}") from error
