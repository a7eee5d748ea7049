"""The request to a launcher, and the fields of the `ready` event, as in BinderHub."""

from __future__ import annotations

import secrets
from typing import Any

from ..backends.base import BuildResult, LaunchRequest, ResolvedSpec, RunningServer
from ..core.specs import Spec
from .caller import Caller
from .launch import Launch
from .ledger import AnyCodec
from .stored import StoredLaunch

__all__ = ["launch_request", "ready_fields", "stored_request"]


def launch_request(
    spec: Spec,
    caller: Caller,
    resolved: ResolvedSpec,
    built: BuildResult,
    *,
    key: str = "",
    token: str = "",
) -> LaunchRequest[Any, Any]:
    """Return the request to a launcher; with a key and a token, one that was made before."""
    return LaunchRequest(
        name=spec.title,
        key=key or secrets.token_hex(4),
        token=token or secrets.token_urlsafe(24),
        resumed=bool(token),
        user=caller.user,
        repo_url=spec.repo_url,
        options=_binder_fields(caller, resolved),
        resolved=resolved,
        result=built,
    )


async def stored_request(
    codec: AnyCodec, stored: StoredLaunch, spec: Spec
) -> LaunchRequest[Any, Any]:
    """Return the request of a launch that is stored, which has one.

    Raises
    ------
    Exception
        If it cannot be decoded: whatever the codec raises.
    """
    request = stored.request
    assert request is not None  # noqa: S101 - for the type checker
    return launch_request(
        spec,
        stored.caller,
        await codec.resolved(request.resolved),
        codec.result(request.result),
        key=request.key,
        token=request.token,
    )


def ready_fields(
    launch: Launch, resolved: ResolvedSpec, built: BuildResult, served: RunningServer
) -> dict[str, str]:
    """Return the fields of the `ready` event. Those of the launcher have priority."""
    return {
        "image": built.image,
        "repo_url": launch.spec.repo_url,
        **_binder_fields(launch.caller, resolved),
        **served.fields,
        "url": served.url,
        "token": served.token,
    }


def _binder_fields(caller: Caller, resolved: ResolvedSpec) -> dict[str, str]:
    return resolved.binder_fields(launch_host=caller.base_url, client_ip=caller.ip)
