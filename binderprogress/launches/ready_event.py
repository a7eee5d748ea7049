"""What the spawner is asked for, and the fields of the `ready` event, as in BinderHub."""

from __future__ import annotations

import secrets

from ..backends.base import BuildResult, LaunchRequest, ResolvedSpec, RunningServer
from .launch import Launch

__all__ = ["ready_fields", "spawn_request"]


def spawn_request(launch: Launch, target: ResolvedSpec, built: BuildResult) -> LaunchRequest:
    """Return what a spawner is asked for."""
    return LaunchRequest(
        name=launch.spec.title,
        key=secrets.token_hex(4),
        user=launch.caller.user,
        image=built.image,
        repo_url=launch.spec.repo_url,
        options=_binder_fields(launch, target),
        target=target,
        built=built,
    )


def ready_fields(
    launch: Launch, target: ResolvedSpec, built: BuildResult, served: RunningServer
) -> dict[str, str]:
    """Return the fields of the `ready` event; what its sources say counts more."""
    return {
        "image": built.image,
        "repo_url": launch.spec.repo_url,
        **_binder_fields(launch, target),
        **served.fields,
        "url": served.url,
        "token": served.token,
    }


def _binder_fields(launch: Launch, target: ResolvedSpec) -> dict[str, str]:
    caller = launch.caller
    return target.binder_fields(launch_host=caller.base_url, client_ip=caller.ip)
