"""What all of BinderHub's handlers have."""

from __future__ import annotations

import ipaddress
import json
from typing import Any
from urllib.parse import urlparse

import jwt
from jupyterhub.services.auth import HubOAuth, HubOAuthenticated
from tornado.web import HTTPError, RequestHandler

from . import __version__
from .ratelimit import RateLimitExceeded


class BaseHandler(HubOAuthenticated, RequestHandler):
    skip_check_request_ip = False

    def initialize(self) -> None:
        super().initialize()
        if self.settings["auth_enabled"]:
            self.hub_auth = HubOAuth.instance(config=self.settings["traitlets_config"])

    def prepare(self) -> None:
        super().prepare()
        self.check_request_ip()

    def check_request_ip(self) -> None:
        if self.skip_check_request_ip:
            return
        for network, message in (self.settings.get("ban_networks") or {}).items():
            if ipaddress.ip_address(self.request.remote_ip) in network:
                raise HTTPError(403, f"Requests from {message} are not allowed")

    def token_origin(self) -> str:
        origin = self.request.headers.get("origin")
        return urlparse(origin).netloc if origin else self.request.headers.get("host", "")

    def check_build_token(self, build_token: str | None, provider_spec: str) -> Any:
        self._have_build_token = False
        if not build_token:
            return None
        try:
            decoded = jwt.decode(
                build_token,
                key=self.settings["build_token_secret"],
                audience=provider_spec,
                algorithms=["HS256"],
            )
        except jwt.PyJWTError:
            raise HTTPError(403, "Invalid build token") from None
        if decoded["origin"] != self.token_origin() and self.settings["build_token_check_origin"]:
            raise HTTPError(403, "Invalid build token")
        self._have_build_token = True
        return decoded

    def check_rate_limit(self) -> None:
        limiter = self.settings["rate_limiter"]
        logged_in = self.settings["auth_enabled"] and self.current_user
        if limiter.limit == 0 or logged_in or self._have_build_token:
            return
        try:
            limit = limiter.increment(self.request.remote_ip)
        except RateLimitExceeded:
            raise HTTPError(
                429, f"Rate limit exceeded. Try again in {limiter.period_seconds} seconds."
            ) from None
        self.set_header("x-ratelimit-remaining", str(limit["remaining"]))
        self.set_header("x-ratelimit-reset", str(limit["reset"]))
        self.set_header("x-ratelimit-limit", str(limiter.limit))

    def get_current_user(self) -> Any:
        if not self.settings["auth_enabled"]:
            return "anonymous"
        return super().get_current_user()

    def set_default_headers(self) -> None:
        for name, value in self.settings.get("headers", {}).items():
            self.set_header(name, value)
        self.set_header("access-control-allow-headers", "cache-control")

    def get_spec_from_request(self, prefix: str) -> str:
        return self.request.path[self.request.path.index(prefix) + len(prefix) + 1 :]

    def get_provider(self, provider_prefix: str, spec: str) -> Any:
        provider = self.settings["repo_providers"][provider_prefix]
        return provider(config=self.settings["traitlets_config"], spec=spec)

    def get_badge_base_url(self) -> str:
        url = self.settings["badge_base_url"]
        return str(url(self) if callable(url) else url)

    def extract_message(self, exc_info: Any) -> str:
        try:
            return str(exc_info[1].log_message % exc_info[1].args)
        except Exception:  # noqa: BLE001 - as in BinderHub
            return ""

    def options(self, *args: Any, **kwargs: Any) -> None:
        pass


class VersionHandler(BaseHandler):
    skip_check_request_ip = True

    async def get(self) -> None:
        self.set_header("Content-type", "application/json")
        info = self.settings["example_builder"].builder_info
        self.write(json.dumps({"builder_info": info, "binderhub": __version__}))
