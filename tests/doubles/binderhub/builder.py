"""The handler that our extension takes the place of, and what it imports from here."""

from __future__ import annotations

import hashlib
import re
import string
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from tornado.web import HTTPError

from .base import BaseHandler

BUILD_TIME = Histogram("binderhub_build_time_seconds", "…", ["status"])
LAUNCH_TIME = Histogram("binderhub_launch_time_seconds", "…", ["status", "retries"])
BUILD_COUNT = Counter("binderhub_build_count", "…", ["status", "provider", "repo"])
LAUNCH_COUNT = Counter("binderhub_launch_count", "…", ["status", "provider", "repo"])
BUILDS_INPROGRESS = Gauge("binderhub_inprogress_builds", "…")
LAUNCHES_INPROGRESS = Gauge("binderhub_inprogress_launches", "…")


def _get_image_basename_and_tag(full_name: str) -> tuple[str, str]:
    name, colon, tag = full_name.rpartition(":")
    name, tag = (name, tag) if colon else (full_name, "latest")
    if re.fullmatch("[a-z0-9]{4,40}/[a-z0-9._-]{2,255}", name):
        return name, tag
    return name.partition("/")[2], tag


def _safe_build_slug(build_slug: str, limit: int, hash_length: int = 6) -> str:
    digest = hashlib.sha256(build_slug.encode()).hexdigest()[:hash_length]
    safe = string.ascii_letters + string.digits
    escaped = "".join(
        c if c in safe else "".join(f"-{byte:X}" for byte in c.encode()) for c in build_slug
    )
    return f"{escaped[: limit - hash_length - 1]}-{digest}".lower()


def _generate_build_name(
    build_slug: str, ref: str, prefix: str = "", limit: int = 63, ref_length: int = 6
) -> str:
    slug = _safe_build_slug(build_slug, limit=limit - len(prefix) - ref_length - 1)
    ref = _safe_build_slug(ref, limit=ref_length, hash_length=2)[:ref_length]
    return f"{prefix}{slug}-{ref}".lower()


class BuildHandler(BaseHandler):
    def _get_build_only(self) -> bool:
        if str(self.get_query_argument("build_only", default="")).lower() != "true":
            return False
        if not self.settings.get("enable_api_only_mode", False):
            raise HTTPError(
                status_code=400,
                log_message="Building but not launching is not permitted when"
                " the API only mode was not enabled by setting `enable_api_only_mode` to True. ",
            )
        return True

    async def get(self, *_: Any) -> None:
        raise AssertionError("our handler is in front of this one")
