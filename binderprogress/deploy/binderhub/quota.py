"""BinderHub's launch quota."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from binderhub.builder import LAUNCH_COUNT
from binderhub.quota import LaunchQuotaExceeded

from ...core.log.reasons import failure
from ..logs import SafeLogger
from .requests import BinderHubResolvedSpec

__all__ = ["check_quota"]

_log = SafeLogger(logging.getLogger(__name__))


async def check_quota(settings: Mapping[str, Any], target: BinderHubResolvedSpec) -> None:
    """Check that another server of this repository may run.

    Raises
    ------
    LaunchFailedError
        If a quota is exceeded, with BinderHub's message.
    """
    repo_url = target.spec.repo_url
    try:
        check = await settings["launch_quota"].check_repo_quota(
            target.image, target.provider.repo_config(settings), repo_url
        )
    except LaunchQuotaExceeded as exceeded:
        LAUNCH_COUNT.labels(status=exceeded.status, **target.labels).inc()
        raise failure("quota", exceeded.message) from exceeded
    if check:
        level = logging.INFO
        # There may be a total quota, but none for each repository.
        if check.quota and check.matching >= 0.5 * check.quota:
            level = logging.WARNING
        _log.log(
            level,
            "Launching server for %s: %s other servers running this repo (%s total)",
            repo_url,
            check.matching,
            check.total,
        )
