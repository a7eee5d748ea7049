"""Settings that the server passes to builds, and to the processes in which they fetch.

These processes read them with Python's own modules: importing msgspec takes as long as to clone a
small repository.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..processes.environment import with_git_config
from .size_limit import Limits

__all__ = [
    "FetchPlan",
    "FetchSettings",
    "take_plan",
    "take_settings",
    "with_proxy",
]

VARIABLE = "BINDERPROGRESS_FETCH"
_PLAN = "BINDERPROGRESS_FETCH_PLAN"


class FetchSettings(NamedTuple):
    """Settings for fetching one repository or record.

    Attributes
    ----------
    provider : str
        The provider of its spec.
    limits : Limits
    """

    provider: str
    limits: Limits

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that pass the settings to a child process."""
        return {VARIABLE: json.dumps(self)}


def take_settings() -> FetchSettings:
    """Return the settings in the environment, and remove them.

    Child processes of this one may run code of the repository, which must not read them.
    """
    return _settings(*json.loads(os.environ.pop(VARIABLE)))


def _settings(provider: str, limits: list[int]) -> FetchSettings:
    return FetchSettings(provider, Limits(*limits))


class FetchPlan(NamedTuple):
    """How a build starts the process that fetches.

    Attributes
    ----------
    settings : FetchSettings
    env : dict of str to str
        All environment variables of that process, except the settings.
    limits : dict of str to int
        Its resource limits, see `processes.child.limited`.
    sandbox : bool
        Whether it runs in a namespace.
    readable : list of str
        Paths that it may read there, in addition to the system's.
    """

    settings: FetchSettings
    env: Mapping[str, str]
    limits: Mapping[str, int] = {}
    sandbox: bool = False
    readable: Sequence[str] = ()

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that pass the plan to the process of a build."""
        return {_PLAN: json.dumps(self)}


def take_plan() -> FetchPlan:
    """Return the plan in the environment, and remove it."""
    settings: list[Any]
    settings, *others = json.loads(os.environ.pop(_PLAN))
    return FetchPlan(_settings(*settings), *others)


def with_proxy(env: Mapping[str, str], proxy: str) -> dict[str, str]:
    """Return an environment in which git and Python's HTTP clients always use a proxy."""
    made = {name: value for name, value in env.items() if name.lower() != "no_proxy"}
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        made[name] = made[name.upper()] = proxy
    # This overrides a proxy in git's configuration. Ours uses the proxy of the environment.
    return with_git_config(made, {"http.proxy": proxy, "http.proxyAuthMethod": "basic"})
