"""What builds, and the processes in which they fetch, are told by the server that starts them."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from ..processes.environment import with_git_config
from .safe_files import Limits

__all__ = [
    "FetchPlan",
    "FetchSettings",
    "take_plan",
    "take_settings",
    "with_proxy",
]

VARIABLE = "BINDERPROGRESS_FETCH"
_PLAN = "BINDERPROGRESS_FETCH_PLAN"


class FetchSettings(msgspec.Struct, frozen=True):
    """How one repository or record is fetched.

    Attributes
    ----------
    provider : str
        Of its spec.
    limits : Limits
    """

    provider: str
    limits: Limits

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that hand it to a child process."""
        return {VARIABLE: msgspec.json.encode(self).decode()}


def take_settings() -> FetchSettings:
    """Return what the server put into the environment, and remove it from there.

    What is fetched runs later in the same process's children: it is not theirs to read.
    """
    return msgspec.json.decode(os.environ.pop(VARIABLE), type=FetchSettings)


class FetchPlan(msgspec.Struct, frozen=True):
    """How a build starts the process that fetches.

    Attributes
    ----------
    settings : FetchSettings
    env : dict of str to str
        The whole environment of that process, but for the settings.
    limits : dict of str to int
        Its resource limits, see `process.limited`.
    sandbox : bool
        Whether it runs in a namespace.
    readable : list of str
        What it may read there, beside the system.
    """

    settings: FetchSettings
    env: Mapping[str, str]
    limits: Mapping[str, int] = {}
    sandbox: bool = False
    readable: list[str] = []

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that hand it to a build's process."""
        return {_PLAN: msgspec.json.encode(self).decode()}


def take_plan() -> FetchPlan:
    """Return what the server put into a build's environment, and remove it from there."""
    return msgspec.json.decode(os.environ.pop(_PLAN), type=FetchPlan)


def with_proxy(env: Mapping[str, str], proxy: str) -> dict[str, str]:
    """Return an environment in which git and Python's clients go through a proxy, always."""
    made = {name: value for name, value in env.items() if name.lower() != "no_proxy"}
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        made[name] = made[name.upper()] = proxy
    # A proxy that the user's own settings name is not asked: ours asks that of the environment.
    return with_git_config(made, {"http.proxy": proxy, "http.proxyAuthMethod": "basic"})
