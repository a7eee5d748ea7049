"""The plan of a server, the request for it, and the fields of the `ready` event."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from ..backends.base import BuildResult, LaunchRequest, ResolvedSpec, RunningServer, ServerPlan
from ..core.specs import Spec
from .caller import Caller
from .launch import Launch
from .ledger import AnyCodec
from .stored import StoredLaunch, StoredRequest

__all__ = ["launch_request", "ready_fields", "server_plan", "stored_plan", "stored_request"]


def launch_request(
    spec: Spec,
    caller: Caller,
    resolved: ResolvedSpec,
    built: BuildResult,
    *,
    key: str = "",
    token: str = "",
    name: str = "",
) -> LaunchRequest[Any, Any]:
    """Return the request to a launcher; with a key and a token, one that was made before."""
    return LaunchRequest(
        name=name or spec.title,
        key=key or secrets.token_hex(4),
        token=token or secrets.token_urlsafe(24),
        resumed=bool(token),
        user=caller.user,
        repo_url=spec.repo_url,
        options=_binder_fields(caller, resolved),
        resolved=resolved,
        result=built,
    )


def server_plan(
    spec: Spec, caller: Caller, resolved: ResolvedSpec, *, key: str, resumed: bool = False
) -> ServerPlan[Any]:
    """Return the plan of a server, for which `launch_request` returns the request later."""
    return ServerPlan(
        name=spec.title, key=key, user=caller.user, resolved=resolved, resumed=resumed
    )


async def stored_plan(codec: AnyCodec, stored: StoredLaunch, spec: Spec) -> ServerPlan[Any]:
    """Return the plan of a launch that is stored, which has one.

    Raises
    ------
    Exception
        If it cannot be decoded: whatever the codec raises.
    """
    plan = stored.plan
    assert plan is not None  # noqa: S101 - for the type checker
    resolved = await codec.resolved(plan.resolved)
    return server_plan(spec, stored.caller, resolved, key=plan.key, resumed=True)


async def stored_request(
    codec: AnyCodec, request: StoredRequest, spec: Spec, caller: Caller
) -> LaunchRequest[Any, Any]:
    """Return a request that is stored, which was made before.

    Raises
    ------
    Exception
        If it cannot be decoded: whatever the codec raises.
    """
    made = launch_request(
        spec,
        caller,
        await codec.resolved(request.resolved),
        codec.result(request.result),
        key=request.key,
        token=request.token,
        name=request.name,
    )
    return msgspec.structs.replace(made, attempt=request.attempt)


def ready_fields(
    launch: Launch, resolved: ResolvedSpec, built: BuildResult, served: RunningServer
) -> dict[str, Any]:
    """Return the fields of the `ready` event. Those of the launcher have priority."""
    return {
        "image": built.image,
        "repo_url": launch.spec.repo_url,
        **_binder_fields(launch.caller, resolved),
        **served.fields,
        "url": served.url,
        "token": served.token,
        "ahead": list(launch.ahead),
    }


def _binder_fields(caller: Caller, resolved: ResolvedSpec) -> dict[str, str]:
    return resolved.binder_fields(launch_host=caller.base_url, client_ip=caller.ip)
