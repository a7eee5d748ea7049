"""The rate limiter."""

from __future__ import annotations

import time
from typing import Any

from traitlets import Integer
from traitlets.config import LoggingConfigurable


class RateLimitExceeded(Exception):  # noqa: N818 - BinderHub's name
    pass


class RateLimiter(LoggingConfigurable):
    period_seconds = Integer(3600).tag(config=True)
    limit = Integer(10).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._limits: dict[str, dict[str, int]] = {}

    def increment(self, key: str) -> dict[str, int]:
        reset = int(time.time()) + self.period_seconds
        limit = self._limits.setdefault(key, {"remaining": self.limit, "reset": reset})
        limit["remaining"] -= 1
        if limit["remaining"] < 0:
            raise RateLimitExceeded(key)
        return limit
