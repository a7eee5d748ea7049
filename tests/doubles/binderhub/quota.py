"""Quotas."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from traitlets import Any as AnyTrait
from traitlets import Integer
from traitlets.config import LoggingConfigurable


class LaunchQuotaExceeded(Exception):  # noqa: N818 - BinderHub's name
    def __init__(self, message: str, *, quota: int, used: int, status: str) -> None:
        super().__init__()
        self.message = message
        self.quota = quota
        self.used = used
        self.status = status


ServerQuotaCheck = namedtuple("ServerQuotaCheck", ["total", "matching", "quota"])


class LaunchQuota(LoggingConfigurable):
    executor = AnyTrait(allow_none=True)
    total_quota = Integer(None, allow_none=True).tag(config=True)

    async def check_repo_quota(
        self, image_name: str, repo_config: dict[str, Any], repo_url: str
    ) -> ServerQuotaCheck | None:
        return None
