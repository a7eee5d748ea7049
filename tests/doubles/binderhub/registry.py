"""Registries."""

from __future__ import annotations

from typing import Any

from traitlets.config import LoggingConfigurable


class DockerRegistry(LoggingConfigurable):
    async def get_image_manifest(self, image: str, tag: str) -> Any:
        raise NotImplementedError

    async def get_credentials(self, image: str, tag: str) -> Any:
        return None
