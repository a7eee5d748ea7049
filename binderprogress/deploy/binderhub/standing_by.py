"""Keeps servers ready inside a BinderHub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from traitlets.config import LoggingConfigurable

from ...backends.base import AnyBackend
from ...core.specs import RECORDS
from ...errors import BadRequestError
from ...launches import LaunchManager
from ...launches.standby import Standby
from .. import standing_by
from .requests import ProviderSpec, Visit

__all__ = ["make_standby"]


def make_standby(
    parent: LoggingConfigurable, hub: Any, launches: LaunchManager, backend: AnyBackend
) -> Standby | None:
    """Return what keeps servers ready; None if that is not enabled.

    Parameters
    ----------
    parent : LoggingConfigurable
        Has the configuration.
    hub : BinderHub
    launches : LaunchManager
    backend : Backend

    Raises
    ------
    ConfigError
        If it cannot be done here.
    """
    if not standing_by.is_enabled(parent.config):
        return None
    if hub.auth_enabled:
        raise standing_by.refusal("With logins, each server belongs to its user.")
    settings = hub.tornado_app.settings
    return standing_by.make_standby(parent, launches, backend, read_spec=_spec_reader(settings))


def _spec_reader(settings: Mapping[str, Any]) -> Callable[[str], ProviderSpec]:
    badge_url = settings["badge_base_url"]
    # It may depend on the request, and there is none.
    launch_host = "" if callable(badge_url) else str(badge_url)
    visit = Visit(user="", launch_host=launch_host, build_token=True, host="", origin="")

    def read(text: str) -> ProviderSpec:
        prefix, _, rest = text.strip("/").partition("/")
        if prefix not in settings["repo_providers"]:
            raise BadRequestError(f"No provider found for prefix {prefix}.")
        try:
            provider = settings["repo_providers"][prefix](
                config=settings["traitlets_config"], spec=rest
            )
        except Exception as error:
            # Providers raise exceptions of any class.
            raise BadRequestError(str(error)) from error
        return ProviderSpec(
            provider=prefix,
            repo_url=provider.get_repo_url(),
            ref=provider.unresolved_ref or ("" if prefix in RECORDS else "HEAD"),
            text=rest,
            visit=visit,
        )

    return read
