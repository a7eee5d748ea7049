"""Our pages, in a BinderHub."""

from __future__ import annotations

import time

import jwt

from ...core.specs import Spec
from ...web.own import OwnLaunchesPageHandler
from ...web.pages import LaunchPageHandler
from .handlers import TOKEN_COOKIE, Guarded

__all__ = ["HubLaunchPageHandler", "HubOwnLaunchesPageHandler"]


class HubLaunchPageHandler(Guarded, LaunchPageHandler):
    """/v2/{provider}/{spec}."""

    def read_spec(self, text: str) -> Spec:
        """Read the spec, and let the page launch it."""
        prefix, _, text = text.partition("/")
        spec = self.find_spec(prefix, text)
        self._give_token(str(spec))
        return spec

    def _give_token(self, spec: str) -> None:
        """Give a build token to this page, as BinderHub's has one: it is not held for a robot."""
        seconds = self.settings["build_token_expires_seconds"]
        content = {"exp": int(time.time()) + seconds, "aud": spec, "origin": self.token_origin()}
        self.set_cookie(
            TOKEN_COOKIE,
            jwt.encode(content, key=self.settings["build_token_secret"], algorithm="HS256"),
            path=f"{self.web.base_url}api/launches",
            max_age=seconds,
            httponly=True,
            secure=self.request.protocol == "https",
            samesite="Strict",
        )


class HubOwnLaunchesPageHandler(Guarded, OwnLaunchesPageHandler):
    """/launches."""
