"""The names of images and builds, made by BinderHub's own functions."""

from __future__ import annotations

from typing import Any

from binderhub.builder import _generate_build_name, _safe_build_slug

__all__ = ["build_name", "image_name"]


def build_name(provider: Any, ref: str) -> str:
    """Return the name of the build of a repository."""
    return str(_generate_build_name(provider.get_build_slug(), ref, prefix="build-"))


def image_name(provider: Any, ref: str, prefix: str) -> str:
    """Return the name of a repository's image."""
    # BinderHub has no function for this, only code in its handler. The name must be the same, or
    # existing images are not found.
    slug = _safe_build_slug(provider.get_build_slug(), limit=255 - len(prefix))
    return f"{prefix}{slug}:{ref}".replace("_", "-").lower()
