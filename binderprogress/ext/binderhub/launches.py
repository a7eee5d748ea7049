"""Launches with the names that BinderHub gives to what belongs to them."""

from __future__ import annotations

import msgspec

from ...launches import Launch, LaunchManager
from ...sources.base import Built, SpawnRequest, Target
from .target import ImageRequest, ImageTarget

__all__ = ["HubLaunches"]


class HubLaunches(LaunchManager):
    """The launches of a BinderHub; configured as `LaunchManager`."""

    def _request(self, launch: Launch, target: Target, built: Built) -> SpawnRequest:
        assert isinstance(target, ImageTarget)  # noqa: S101 - `ImageBuilder` makes no others
        request = super()._request(launch, target, built)
        return ImageRequest(**msgspec.structs.asdict(request), target=target)

    def _binder_fields(self, launch: Launch, target: Target) -> dict[str, str]:
        assert isinstance(target, ImageTarget)  # noqa: S101 - `ImageBuilder` makes no others
        spec = target.spec
        return {
            "binder_ref_url": target.ref_url,
            "binder_launch_host": spec.visit.launch_host,
            "binder_request": f"v2/{spec}",
            "binder_persistent_request": f"v2/{spec.provider}/{target.resolved_spec}",
            "binder_client_ip": launch.caller.ip,
        }
