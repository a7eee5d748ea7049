"""Requests as a manager sends them to a launcher."""

from __future__ import annotations

import secrets

from binderprogress.backends.base import BuildResult, LaunchRequest, ResolvedSpec, ServerPlan
from binderprogress.core.specs import parse

__all__ = ["Request", "launch_request", "plan_of"]

Request = LaunchRequest[ResolvedSpec, BuildResult]

_RESOLVED = ResolvedSpec(parse("gh/ada/repository/HEAD"), "0" * 40)


def launch_request(
    name: str = "a",
    key: str = "k",
    *,
    image: str = "i",
    repo_url: str = "https://repository.invalid/",
    options: dict[str, str] | None = None,
    user: str = "",
) -> Request:
    """Return a request to start an image."""
    return LaunchRequest(
        name=name,
        key=key,
        token=secrets.token_urlsafe(24),
        resolved=_RESOLVED,
        result=BuildResult(image),
        repo_url=repo_url,
        options=options or {},
        user=user,
    )


def plan_of(request: Request, *, resumed: bool = False) -> ServerPlan[ResolvedSpec]:
    """Return the plan that comes before a request."""
    return ServerPlan(
        name=request.name,
        key=request.key,
        user=request.user,
        resolved=request.resolved,
        resumed=resumed,
    )
