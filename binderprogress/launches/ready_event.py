"""What the spawner is asked for, and the fields of the `ready` event, as in BinderHub."""

from __future__ import annotations

import secrets

from ..backends.base import Built, Served, SpawnRequest, Target
from .launch import Launch

__all__ = ["ready_fields", "spawn_request"]


def spawn_request(launch: Launch, target: Target, built: Built) -> SpawnRequest:
    """Return what a spawner is asked for."""
    return SpawnRequest(
        name=launch.spec.title,
        key=secrets.token_hex(4),
        user=launch.caller.user,
        image=built.image,
        repo_url=launch.spec.repo_url,
        options=_binder_fields(launch, target),
        target=target,
        built=built,
    )


def ready_fields(launch: Launch, target: Target, built: Built, served: Served) -> dict[str, str]:
    """Return the fields of the `ready` event; what its sources say counts more."""
    return {
        "image": built.image,
        "repo_url": launch.spec.repo_url,
        **_binder_fields(launch, target),
        **served.fields,
        "url": served.url,
        "token": served.token,
    }


def _binder_fields(launch: Launch, target: Target) -> dict[str, str]:
    caller = launch.caller
    return target.binder_fields(launch_host=caller.base_url, client_ip=caller.ip)
