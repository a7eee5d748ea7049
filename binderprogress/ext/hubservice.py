"""As a service of a JupyterHub: with the Hub's login, its tokens and scopes, and its servers."""

from __future__ import annotations

import os
import secrets
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.services.auth import (
    HubOAuth,
    HubOAuthCallbackHandler,
    HubOAuthenticated,
    UserNotAllowed,
)
from tornado.web import Application
from traitlets import Bool, default

from ..errors import ConfigError, RefusedError
from ..sources.jupyterhub import HubSpawner
from ..web.app import handlers
from ..web.base import ApiHandler, Handler
from ..web.pages import NotFoundHandler
from .application import Command, ServerCommand, launch_command
from .standalone import CONFIGURABLES, Standalone

__all__ = ["HubAccess", "HubService", "HubServiceApp"]


class HubAccess:
    """Those whom the Hub knows, and who have the scope to use this service.

    Parameters
    ----------
    auth : HubOAuth
    named : bool
        Whether launches become servers of those who ask: a service then cannot.
    """

    lists = True
    # Attack: a page of another user's server has the same origin. In a frame it could read ours.
    frame_ancestors = "'none'"

    def __init__(self, auth: HubOAuth, *, named: bool) -> None:
        self._named = named
        login = urlsplit(auth.login_url)
        # A form that comes when the login is over leads there.
        there = f" {login.scheme}://{login.netloc}" if login.netloc else ""
        self.form_action = f"'self'{there}"

    async def identify(self, handler: Any) -> str:
        """Ask the Hub who it is; send a person to its login."""
        model = await handler.hub_auth.get_user(handler, sync=False)
        handler.current_user = model
        if model is None:
            if isinstance(handler, ApiHandler) or handler.request.method != "GET":
                raise RefusedError(
                    "Log in with JupyterHub, or send a token as `Authorization: token …`. Pages "
                    "send their _xsrf cookie as X-XSRFToken, too."
                )
            handler.redirect(handler.get_login_url())
            return ""
        try:
            handler.check_hub_user(model)
        except UserNotAllowed as error:
            raise RefusedError(
                "You may not use this service. Whoever runs the Hub can allow it, with the scope "
                f"{' or '.join(sorted(handler.hub_auth.access_scopes))}."
            ) from error
        by_token = getattr(handler, "_token_authenticated", False)
        if handler.get_acts and not by_token:
            # Attack: a page of another user's server leads the browser there, with our cookie. For
            # the browser it is the same site.
            raise RefusedError("This address takes tokens only: `Authorization: token …`.")
        if not isinstance(handler, ApiHandler):
            # Read for what it does: the page gets the cookie that its requests have to prove.
            handler.xsrf_token  # noqa: B018
        if model["kind"] == "user":
            return str(model["name"])
        if self._named:
            raise RefusedError("Launches here become a user's servers, and a service has none.")
        # No user has a slash in their name: a service cannot pass for one.
        return f"service/{model['name']}"


class HubService(Standalone):
    """The server as a service that a JupyterHub starts, or that is started beside it.

    It reads what the Hub sets for its services: JUPYTERHUB_SERVICE_PREFIX, JUPYTERHUB_SERVICE_URL,
    JUPYTERHUB_API_TOKEN, JUPYTERHUB_API_URL and so on. Who starts it otherwise sets the same.
    """

    named_servers = Bool(
        True,
        help="""
        Start named servers of the user who launches; c.JupyterHub.allow_named_servers must be on.
        Otherwise each launch makes a user of its own, which has this one server. With BinderHubs
        (c.Upstreams.urls) it has no meaning: they start the servers.
        """,
    ).tag(config=True)

    @default("ip")
    def _default_ip(self) -> str:
        return self._listen().hostname or "127.0.0.1"

    @default("port")
    def _default_port(self) -> int:
        return self._listen().port or 8585

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.auth = HubOAuth(parent=self)
        _check(self.auth)
        web, spawner, configured = self.web, self.spawner, self.config.Web
        named = False
        # Without one, BinderHubs launch, and none of it is in this Hub.
        if isinstance(spawner, HubSpawner):
            named = spawner.named = self.named_servers
            spawner.api_url, spawner.api_token = self.auth.api_url, self.auth.api_token
            if "confirm_foreign" not in configured:
                # What is launched becomes a server with its user's rights.
                web.confirm_foreign = True
        web.base_url = self.auth.base_url
        web.access = HubAccess(self.auth, named=named)
        if "local_only" not in configured:
            web.local_only = False
        if "trust_proxy" not in configured:
            # The Hub's proxy is in front, and tells what it sees.
            web.trust_proxy = True

    def _listen(self) -> Any:
        return urlsplit(os.environ.get("JUPYTERHUB_SERVICE_URL", ""))

    async def _start_hub(self) -> None:
        """Start none: there is one."""

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
            # Of one run: after the next start browsers are sent through the login, which is quick.
            cookie_secret=secrets.token_bytes(32),
        )

    def _with_login(self, handler: type) -> type:
        """Return a handler that the Hub's login works in; files have none."""
        if not issubclass(handler, Handler):
            return handler
        return type(handler.__name__, (HubOAuthenticated, handler), {"_hub_auth": self.auth})


class HubServiceApp(ServerCommand):
    """Run the server as a service of a JupyterHub, which starts it by this command.

    It reads the variables that the Hub sets for its services: JUPYTERHUB_SERVICE_PREFIX and others.
    """

    name = "hub-service"
    description = __doc__ or ""
    classes = [HubService, *CONFIGURABLES]  # noqa: RUF012 - traitlets' way
    aliases = {  # noqa: RUF012 - traitlets' way
        **Command.aliases,
        "ip": "HubService.ip",
        "port": "HubService.port",
        "engine": "HubService.engine",
        "upstream": "Upstreams.urls",
    }
    server_class = HubService


def _check(auth: HubOAuth) -> None:
    """Refuse to run open to everyone, or for nobody."""
    if not auth.api_token:
        raise ConfigError(
            "JUPYTERHUB_API_TOKEN is not set: the Hub starts this, or you set what it would set. "
            "See the documentation, JupyterHub."
        )
    if not auth.access_scopes:
        raise ConfigError(
            "JUPYTERHUB_SERVICE_NAME is not set, nor JUPYTERHUB_OAUTH_ACCESS_SCOPES: without them "
            "everybody whom the Hub knows could launch."
        )


if __name__ == "__main__":
    launch_command(HubServiceApp, None)
