"""The request to a launcher, and the fields of the `ready` event, as in BinderHub."""

from __future__ import annotations

import secrets
from typing import Any

from ..backends.base import BuildResult, LaunchRequest, ResolvedSpec, RunningServer
from .launch import Launch

__all__ = ["launch_request", "ready_fields"]


def launch_request(
    launch: Launch,
    resolved: ResolvedSpec,
    built: BuildResult,
    *,
    key: str = "",
    token: str = "",
) -> LaunchRequest[Any, Any]:
    """Return the request to a launcher; with a key and a token, one that was made before."""
    return LaunchRequest(
        name=launch.spec.title,
        key=key or secrets.token_hex(4),
        token=token or secrets.token_urlsafe(24),
        resumed=bool(token),
        user=launch.caller.user,
        repo_url=launch.spec.repo_url,
        options=_binder_fields(launch, resolved),
        resolved=resolved,
        result=built,
    )


def ready_fields(
    launch: Launch, resolved: ResolvedSpec, built: BuildResult, served: RunningServer
) -> dict[str, str]:
    """Return the fields of the `ready` event. Those of the launcher have priority."""
    return {
        "image": built.image,
        "repo_url": launch.spec.repo_url,
        **_binder_fields(launch, resolved),
        **served.fields,
        "url": served.url,
        "token": served.token,
    }


def _binder_fields(launch: Launch, resolved: ResolvedSpec) -> dict[str, str]:
    caller = launch.caller
    return resolved.binder_fields(launch_host=caller.base_url, client_ip=caller.ip)
