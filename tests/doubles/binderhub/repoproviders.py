"""Repo providers."""

from __future__ import annotations

import re
from typing import Any

from traitlets import List, Unicode
from traitlets.config import LoggingConfigurable


class RepoProvider(LoggingConfigurable):
    name = Unicode()
    spec = Unicode()
    allowed_specs = List().tag(config=True)
    banned_specs = List().tag(config=True)
    unresolved_ref = Unicode()
    git_credentials = Unicode("").tag(config=True)
    display_config: dict[str, Any] = {}  # noqa: RUF012 - BinderHub's way

    def is_banned(self) -> bool:
        def matches(patterns: list[str]) -> bool:
            return any(re.match(pattern, self.spec, re.IGNORECASE) for pattern in patterns)

        return matches(self.banned_specs) or (
            bool(self.allowed_specs) and not matches(self.allowed_specs)
        )

    def repo_config(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {"quota": settings.get("per_repo_quota")}

    async def get_resolved_ref(self) -> str | None:
        raise NotImplementedError

    async def get_resolved_spec(self) -> str:
        raise NotImplementedError

    def get_repo_url(self) -> str:
        raise NotImplementedError

    async def get_resolved_ref_url(self) -> str:
        raise NotImplementedError

    def get_build_slug(self) -> str:
        raise NotImplementedError
