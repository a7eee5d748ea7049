"""What a spawner and the `ready` event are told of a launch, as BinderHub does."""

from __future__ import annotations

import secrets
from urllib.parse import quote

from ..sources.base import Built, Served, SpawnRequest, Target
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
    """Return the fields that BinderHub passes to the spawner and to the `ready` event."""
    spec = launch.spec
    commit = target.commit or spec.ref
    ref_url = spec.repo_url
    if target.version is not None:
        ref_url = target.version.repo_url
    elif spec.provider in {"gh", "gl"}:
        middle = "/-/tree/" if spec.provider == "gl" else "/tree/"
        ref_url += middle + quote(commit)
    return {
        "binder_ref_url": ref_url,
        "binder_launch_host": launch.caller.base_url,
        "binder_request": f"v2/{spec}",
        "binder_persistent_request": f"v2/{target.version or spec.at(commit)}",
        "binder_client_ip": launch.caller.ip,
    }
