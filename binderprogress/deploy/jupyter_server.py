"""Runs binderprogress as an extension of a Jupyter server, at ``<base_url>binderprogress/``."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.utils import ensure_async, url_path_join
from tornado.httputil import url_concat
from traitlets import TraitError, default
from traitlets.config import LoggingConfigurable

from ..backends.jupyterhub.launcher import HubLauncher
from ..channels.config import MEMORY
from ..errors import ConfigError, RefusedError
from ..history.store import NoHistory, WaitingHistory
from ..web.app import handlers
from ..web.base import ApiHandler, Handler
from ..web.launch_ids import without_launch_ids
from .logs import SafeLogger
from .standalone import CONFIGURABLES, Standalone

__all__ = ["ServerExtension", "ServerParts"]

_ACTIONS = {"GET": "read", "HEAD": "read", "POST": "execute", "DELETE": "write"}


class ServerAccess:
    """Uses the login of the Jupyter server. All who are logged in count as one user."""

    lists = True
    form_action = "'self'"
    # Attack: in JupyterHub, a page of another user's server has the same origin.
    frame_ancestors = "'none'"

    async def identify(self, handler: Any) -> str:
        """Check the login. Redirect pages to the login of the Jupyter server."""
        await JupyterHandler.prepare(handler)
        if handler._finished:
            return ""
        user, page = handler.current_user, not isinstance(handler, ApiHandler)
        if user is None:
            if page and handler.request.method == "GET":
                login = url_concat(handler.get_login_url(), {"next": handler.request.uri})
                handler.redirect(login)
                return ""
            raise RefusedError("Log in to the Jupyter server, or send its token.")
        action = _ACTIONS.get(handler.request.method, "write")
        if not await ensure_async(
            handler.authorizer.is_authorized(handler, user, action, "binderprogress")
        ):
            raise RefusedError("You are not allowed to do this on this Jupyter server.")
        if handler.get_acts and not handler.token_authenticated:
            # Attack: a page of another user's server sends the browser here, with our cookie.
            raise RefusedError("This endpoint requires a token: send `Authorization: token …`.")
        if page:
            # Reading it sets the XSRF cookie, which the page's requests need.
            handler.xsrf_token  # noqa: B018
        return ""


class ServerParts(Standalone):
    """The parts of the server, without a port of its own.

    JupyterHub starts with the first launch. In front of BinderHubs, there is no JupyterHub.
    """

    @default("log")
    def _safe_log(self) -> SafeLogger:
        # The Jupyter server's logger has a formatter that does not escape messages.
        assert isinstance(self.parent, LoggingConfigurable)  # noqa: S101 - for the type checker
        return SafeLogger(self.parent.log)

    @default("hub_folder")
    def _temporary_hub_folder(self) -> str:
        # It stops with the Jupyter server, of which there may be several.
        return ""

    def __init__(self, *, base_url: str, **kwargs: Any) -> None:
        self._base_url = base_url
        self._starting = asyncio.Lock()
        super().__init__(**kwargs)
        # The Jupyter server answers before the history is open.
        self._waiting = self.launches.history = WaitingHistory()

    def _defaults(self) -> dict[str, dict[str, Any]]:
        web = {
            # The Jupyter server checks the Host header.
            "local_only": False,
            # The operator of the Jupyter server sets HSTS.
            "hsts_max_age": 0,
            # Only the headers of a proxy say whether clients use https. Scripts of other sites
            # cannot set them. The Jupyter server itself reads the client's address.
            "trust_proxy": True,
        }
        if not self.upstreams.hubs:
            web["confirm_foreign"] = True
        # Launches end with the Jupyter server.
        storage = {"url": MEMORY}
        return {"Web": web, "Network": {"private_addresses": True}, "Storage": storage}

    def _web_options(self) -> dict[str, Any]:
        return {"base_url": self._base_url, "access": ServerAccess()}

    async def open_history(self) -> None:
        """Open the history, if possible."""
        try:
            await super().open_history()
        except ConfigError as error:
            self.log.warning("binderprogress cannot open its history: %s", error)
            self.launches.history = NoHistory()
        for past in self._waiting.launches:
            self.launches.history.add(past)

    async def start(self) -> None:
        """Start monitoring the BinderHubs, if any are configured."""
        self.upstreams.start()

    async def _check_hub(self, launcher: HubLauncher) -> dict[str, Any]:
        # It starts with the first launch. Until then, this is no error.
        return await super()._check_hub(launcher) if launcher.url else {"started": False}

    async def _available(self) -> None:
        if self._own is None:
            return
        async with self._starting:
            if self.hub is not None and self.hub.has_ended:
                self.log.warning(
                    "The JupyterHub of binderprogress has ended. Starting another one."
                )
                await self._stop_hub()
            if self.hub is None:
                await self._start_hub()
        await super()._available()


class ServerExtension(ExtensionApp):
    """Launch git repositories from a Jupyter server."""

    name = "binderprogress"
    description = __doc__ or ""
    extension_url = "/binderprogress/"
    load_other_extensions = True
    classes = [ServerParts, *CONFIGURABLES]  # noqa: RUF012 - traitlets' way

    parts: ServerParts | None = None

    def initialize_settings(self) -> None:
        """Create the parts of the server."""
        assert self.serverapp is not None  # noqa: S101 - for the type checker
        base_url = url_path_join(self.serverapp.web_app.settings["base_url"], self.extension_url)
        try:
            self.parts = ServerParts(base_url=base_url, parent=self)
        except (ConfigError, TraitError) as error:
            # The Jupyter server must start even if this extension cannot.
            self.log.warning("binderprogress is not available: %s", error)
            return
        self.settings["binderprogress"] = self.parts.web
        self.settings["log_function"] = without_launch_ids(self.settings["log_function"])
        # Later: now, it would delay the start of the Jupyter server.
        self.serverapp.io_loop.add_callback(self.parts.open_history)
        # The loop is not running yet. (Newer Jupyter servers have a method for this.)
        self.serverapp.io_loop.add_callback(self.parts.start)

    def initialize_handlers(self) -> None:
        """Add all handlers, with the login of the Jupyter server."""
        if self.parts is None:
            return
        web = self.parts.web
        for pattern, handler, *rest in handlers(web):
            path = pattern.removeprefix(re.escape(web.base_url))
            self.handlers.append((f"{self.extension_url}{path}", _with_login(handler), *rest))

    async def stop_extension(self) -> None:
        """Cancel all launches, and stop our JupyterHub."""
        if self.parts is not None:
            await self.parts.stop()


def _with_login(handler: type) -> type:
    """Return a handler with the Jupyter server's login. Static files have none."""
    if issubclass(handler, Handler):
        bases: tuple[type, ...] = (handler, JupyterHandler)
        is_public = handler.public
    else:
        bases, is_public = (handler,), True
    subclass = type(handler.__name__, bases, {})
    if is_public:
        # The Jupyter server can be configured to reject handlers without a login or this mark.
        for name in ("head", "get"):
            setattr(subclass, name, _without_login(getattr(subclass, name)))
    return subclass


def _without_login(method: Any) -> Any:
    """Return a copy of a method that is marked to need no login."""

    @allow_unauthenticated
    def marked(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(self, *args, **kwargs)

    return marked


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "binderprogress.deploy.jupyter_server", "app": ServerExtension}]
