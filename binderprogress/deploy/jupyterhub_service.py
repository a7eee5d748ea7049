"""Runs binderprogress as a service of JupyterHub, with its login, tokens, scopes and servers."""

from __future__ import annotations

import hmac
import os
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated
from tornado.web import Application
from traitlets import Bool, default
from traitlets.config import Config

from ..backends.jupyterhub.launcher import HubLauncher
from ..core.redact import redact_address, without_credentials
from ..errors import ConfigError
from ..launches.standby import Standby
from ..web.app import handlers
from ..web.base import Handler
from ..web.pages import NotFoundHandler
from .application import Command, ServerCommand, launch_command
from .composition import CONFIGURABLES
from .jupyterhub_access import JupyterHubAccess
from .server import Server
from .stateless_login import StatelessOAuth

__all__ = ["JupyterHubService", "JupyterHubServiceApp"]


class JupyterHubService(Server):
    """The server as a service that a JupyterHub starts, or that is started beside it.

    It reads the environment variables of services: JUPYTERHUB_SERVICE_PREFIX,
    JUPYTERHUB_SERVICE_URL, JUPYTERHUB_API_TOKEN, JUPYTERHUB_API_URL and others. Set them yourself
    if JupyterHub does not start the service.
    """

    named_servers = Bool(
        True,
        help="""
        Start named servers of the user who launches. This requires
        c.JupyterHub.allow_named_servers. Otherwise, each launch creates a user with one server.
        The setting has no effect in front of BinderHubs (c.Upstreams.urls).
        """,
    ).tag(config=True)

    @default("ip")
    def _default_ip(self) -> str:
        return self._listen().hostname or "127.0.0.1"

    @default("port")
    def _default_port(self) -> int:
        return self._listen().port or 8585

    def __init__(self, **kwargs: Any) -> None:
        # First: other parts need what it reads from the environment.
        self.auth = StatelessOAuth(parent=kwargs.get("parent"), config=kwargs.get("config"))
        _check(self.auth)
        super().__init__(**kwargs)

    def _defaults(self) -> dict[str, dict[str, Any]]:
        web = {
            "local_only": False,
            # The host is JupyterHub's.
            "hsts_max_age": 0,
            # JupyterHub's proxy is in front, and sets the headers.
            "trust_proxy": True,
        }
        if not self.upstreams.hubs:
            # A launch becomes a server with its user's rights.
            web["confirm_foreign"] = True
        return {"Web": web}

    def _make_launcher(self, settings: Config) -> HubLauncher:
        return HubLauncher(
            parent=self,
            config=settings,
            named=self.named_servers,
            api_url=self.auth.api_url,
            api_token=self.auth.api_token,
        )

    def _make_standby(self, settings: Config) -> Standby | None:
        standby = super()._make_standby(settings)
        is_known = self.launcher is None or self.launcher.url
        if standby is not None and not (is_known or standby.base_url):
            raise ConfigError(
                "Servers that stand ready are started before anybody launches, so the request of a "
                "launch cannot say how browsers reach JupyterHub. Set c.HubLauncher.url to its "
                "address, such as https://hub.example.org/."
            )
        return standby

    def _web_options(self) -> dict[str, Any]:
        # BinderHubs launch nothing in this JupyterHub.
        named = self.named_servers and self.launcher is not None
        return {
            "base_url": self.auth.base_url,
            "access": JupyterHubAccess(self.auth, named=named),
        }

    def _listen(self) -> Any:
        return urlsplit(os.environ.get("JUPYTERHUB_SERVICE_URL", ""))

    def _make_app(self) -> Application:
        rules = [
            (pattern, self._with_login(handler), *rest)
            for pattern, handler, *rest in handlers(self.web)
        ]
        callback = type(
            "CallbackHandler", (HubOAuthCallbackHandler, Handler), {"_hub_auth": self.auth}
        )
        callback.public = True  # type: ignore[attr-defined] # it is a Handler
        return Application(
            [(f"{self.web.base_url}oauth_callback", callback), *rules],
            binderprogress=self.web,
            default_handler_class=NotFoundHandler,
            compress_response=False,
            cookie_secret=_cookie_secret(self.auth.api_token),
        )

    def _with_login(self, handler: type) -> type:
        """Return a handler with JupyterHub's login. Static files have none."""
        if not issubclass(handler, Handler):
            return handler
        return type(handler.__name__, (HubOAuthenticated, handler), {"_hub_auth": self.auth})


class JupyterHubServiceApp(ServerCommand):
    """Run the server as a service of JupyterHub, which starts it with this command.

    It reads the environment variables of services: JUPYTERHUB_SERVICE_PREFIX and others.
    """

    name = "hub-service"
    classes = [JupyterHubService, *CONFIGURABLES]  # noqa: RUF012 - traitlets' way
    aliases = {  # noqa: RUF012 - traitlets' way
        **Command.aliases,
        "ip": "JupyterHubService.ip",
        "port": "JupyterHubService.port",
        "engine": "JupyterHubService.engine",
        "upstream": "Upstreams.urls",
    }
    server_class = JupyterHubService


def _cookie_secret(token: str) -> bytes:
    """Return the key of cookies, which is the same in all replicas and after a restart.

    A cookie has a token of the user, which JupyterHub checks. So a forged cookie opens nothing.
    """
    return hmac.digest(token.encode(), b"binderprogress: cookies", "sha256")


def _check(auth: HubOAuth) -> None:
    """Check that JupyterHub can be asked who may use the service."""
    if not auth.api_token:
        raise ConfigError(
            "JUPYTERHUB_API_TOKEN is not set. Let JupyterHub start this service, or set the "
            "variables of services yourself. See the documentation, JupyterHub."
        )
    for name in ("api_url", "hub_host"):
        url = str(getattr(auth, name))
        if without_credentials(url) != url:
            # It would be visible in errors and in redirects to the login.
            raise ConfigError(
                f"HubOAuth.{name} must not contain a user name or a password: "
                f"{redact_address(url)!r}. Use JUPYTERHUB_API_TOKEN."
            )
    if not auth.access_scopes:
        raise ConfigError(
            "Set JUPYTERHUB_SERVICE_NAME or JUPYTERHUB_OAUTH_ACCESS_SCOPES. Otherwise, every user "
            "of JupyterHub could launch."
        )


if __name__ == "__main__":
    launch_command(JupyterHubServiceApp, None)
