"""Checks that a version of BinderHub has what we need of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from binderhub import __version__

from ...errors import ConfigError

__all__ = ["check_settings"]

_SETTINGS = frozenset(
    {
        "auth_enabled",
        "badge_base_url",
        "base_url",
        "build_class",
        "build_pool",
        "build_token_check_origin",
        "build_token_expires_seconds",
        "build_token_secret",
        "enable_api_only_mode",
        "event_log",
        "executor",
        "image_prefix",
        "launch_quota",
        "launcher",
        "log_function",
        "normalized_origin",
        "rate_limiter",
        "registry",
        "repo_providers",
        "traitlets_config",
        "traitlets_parent",
        "use_registry",
    }
)


def check_settings(settings: Mapping[str, Any]) -> None:
    """Check that BinderHub's Tornado application has the settings that we read.

    Raises
    ------
    ConfigError
        If some are missing.
    """
    missing = sorted(_SETTINGS - settings.keys())
    if missing:
        raise ConfigError(
            f"binderprogress does not support BinderHub {__version__}, which has no "
            f"{', '.join(missing)}. Use BinderHub's main branch, or a Helm chart of 2026."
        )
