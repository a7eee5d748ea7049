"""The application."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlparse

import tornado.web
from jupyterhub.services.auth import HubOAuthCallbackHandler
from prometheus_client import REGISTRY, generate_latest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from traitlets import Any as AnyTrait
from traitlets import Bool, Dict, Integer, Type, Unicode, validate
from traitlets.config import Application, LoggingConfigurable

from .base import BaseHandler, VersionHandler
from .build import BuildExecutor
from .builder import BuildHandler
from .events import EventLog
from .log import log_request
from .quota import LaunchQuota
from .ratelimit import RateLimiter
from .registry import DockerRegistry

_FIELDS = ("provider", "spec", "ref", "status", "origin", "request_origin")
SCHEMA = {
    "$id": "binderhub.jupyter.org/launch",
    "version": 6,
    "type": "object",
    "required": ["provider", "spec", "status", "build_token"],
    "additionalProperties": False,
    "properties": {
        **{name: {"type": "string"} for name in _FIELDS},
        "build_token": {"type": "boolean"},
    },
}


class Launcher(LoggingConfigurable):
    """Tests put one of theirs in its place."""


class MetricsHandler(BaseHandler):
    async def get(self) -> None:
        self.write(generate_latest(REGISTRY))


class HealthHandler(BaseHandler):
    def initialize(self, hub_url: str) -> None:
        pass

    async def get(self) -> None:
        self.write({"ok": True, "checks": []})


class UIHandler(BaseHandler):
    @tornado.web.authenticated
    def get(self) -> None:
        if self.settings["auth_enabled"]:
            # Its templates do, and so its pages have the cookie.
            self.xsrf_token  # noqa: B018
        self.write("BinderHub's page")


class BinderHub(Application):
    aliases = {  # noqa: RUF012 - traitlets' way
        "f": "BinderHub.config_file",
        "config": "BinderHub.config_file",
        "port": "BinderHub.port",
    }
    config_file = Unicode("binderhub_config.py").tag(config=True)
    base_url = Unicode("/").tag(config=True)
    badge_base_url = AnyTrait("").tag(config=True)
    cors_allow_origin = Unicode("").tag(config=True)
    auth_enabled = Bool(False).tag(config=True)
    port = Integer(8585).tag(config=True)
    use_registry = Bool(True).tag(config=True)
    build_class = Type(BuildExecutor).tag(config=True)
    registry_class = Type(DockerRegistry).tag(config=True)
    launch_quota_class = Type(LaunchQuota).tag(config=True)
    per_repo_quota = Integer(0).tag(config=True)
    image_prefix = Unicode("").tag(config=True)
    hub_api_token = Unicode("").tag(config=True)
    hub_url = Unicode("").tag(config=True)
    repo_providers = Dict().tag(config=True)
    build_max_age = Integer(3600 * 4).tag(config=True)
    build_token_check_origin = Bool(True).tag(config=True)
    build_token_expires_seconds = Integer(300).tag(config=True)
    build_token_secret = AnyTrait().tag(config=True)
    builder_required = Bool(True).tag(config=True)
    ban_networks = Dict().tag(config=True)
    tornado_settings = Dict().tag(config=True)
    normalized_origin = Unicode("").tag(config=True)
    enable_api_only_mode = Bool(False).tag(config=True)
    banner_message = Unicode("").tag(config=True)
    default_opengraph_title = Unicode("The Binder Project").tag(config=True)
    extra_header_html = Dict().tag(config=True)
    extra_footer_scripts = Dict().tag(config=True)

    @validate("build_token_secret")
    def _secret(self, proposal: Any) -> Any:
        return bytes.fromhex(proposal.value) if isinstance(proposal.value, str) else proposal.value

    @validate("ban_networks")
    def _networks(self, proposal: Any) -> Any:
        return {ipaddress.ip_network(cidr): text for cidr, text in proposal.value.items()}

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self.load_config_file(self.config_file)
        self.concurrent_build_limit = 32
        self.build_pool = ThreadPoolExecutor(64)
        self.executor = ThreadPoolExecutor(5)
        self.launcher = Launcher(
            parent=self,
            hub_url=self.hub_url,
            hub_url_local=self.hub_url,
            hub_api_token=self.hub_api_token,
            create_user=not self.auth_enabled,
        )
        self.event_log = EventLog(parent=self)
        self.event_log.register_schema(SCHEMA)
        names = (
            "image_prefix build_pool build_token_check_origin build_token_secret "
            "build_token_expires_seconds repo_providers use_registry build_class base_url "
            "badge_base_url executor auth_enabled event_log normalized_origin launcher "
            "enable_api_only_mode ban_networks per_repo_quota"
        )
        self.tornado_settings.update({name: getattr(self, name) for name in names.split()})
        self.tornado_settings.update(
            log_function=log_request,
            example_builder=self.build_class(parent=self),
            launch_quota=self.launch_quota_class(parent=self, executor=self.executor),
            rate_limiter=RateLimiter(parent=self),
            registry=self.registry_class(parent=self) if self.use_registry else None,
            traitlets_config=self.config,
            traitlets_parent=self,
            cookie_secret=secrets.token_bytes(32),
        )
        if self.cors_allow_origin:
            headers = self.tornado_settings.setdefault("headers", {})
            headers["Access-Control-Allow-Origin"] = self.cors_allow_origin
        rules: list[Any] = [
            (r"metrics", MetricsHandler),
            (r"versions", VersionHandler),
            (r"build/([^/]+)/(.+)", BuildHandler),
            (r"health", HealthHandler, {"hub_url": self.hub_url}),
        ]
        if not self.enable_api_only_mode:
            rules.append((r".*", UIHandler))
        rules = [(self.base_url + path, *rest) for path, *rest in rules]
        if self.auth_enabled:
            uri = os.getenv("JUPYTERHUB_OAUTH_CALLBACK_URL") or f"{self.base_url}oauth_callback"
            rules.insert(-1, (re.escape(urlparse(uri).path), HubOAuthCallbackHandler))
        self.tornado_app = tornado.web.Application(rules, **self.tornado_settings)

    def stop(self) -> None:
        self.http_server.stop()
        self.build_pool.shutdown()

    def start(self, run_loop: bool = True) -> None:
        self.http_server = HTTPServer(self.tornado_app, xheaders=True)
        self.http_server.listen(self.port)
        if run_loop:
            IOLoop.current().start()


main = BinderHub.launch_instance
