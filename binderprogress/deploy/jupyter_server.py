"""As an extension of a Jupyter server: launches from there, below ``<base_url>binderprogress/``."""

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
from ..errors import ConfigError, RefusedError
from ..web.app import handlers
from ..web.base import ApiHandler, Handler
from ..web.launch_ids import without_launch_ids
from .logs import SafeLogger
from .standalone import CONFIGURABLES, Standalone

__all__ = ["ServerExtension", "ServerParts"]

_ACTIONS = {"GET": "read", "HEAD": "read", "POST": "execute", "DELETE": "write"}


class ServerAccess:
    """Who is logged in to the Jupyter server; all of them are one user to us."""

    lists = True
    form_action = "'self'"
    # Attack: below a Hub, a page of another user's server has the same origin.
    frame_ancestors = "'none'"

    async def identify(self, handler: Any) -> str:
        """Ask the Jupyter server who it is; send a person to its login."""
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
            # Attack: that other user's page leads the browser there, with our cookie.
            raise RefusedError(
                "This address takes tokens only: `token …` in the header Authorization."
            )
        if page:
            # Read for what it does: the page gets the cookie that its requests have to prove.
            handler.xsrf_token  # noqa: B018
        return ""


class ServerParts(Standalone):
    """Builder, Hub and launches; the Jupyter server listens, and a Hub starts when it is wanted.

    With BinderHubs there is no Hub: they launch.
    """

    @default("log")
    def _safe_log(self) -> SafeLogger:
        # The log is the Jupyter server's, and so is its formatter.
        assert isinstance(self.parent, LoggingConfigurable)  # noqa: S101 - for the type checker
        return SafeLogger(self.parent.log)

    def __init__(self, *, base_url: str, **kwargs: Any) -> None:
        self._base_url = base_url
        self._starting = asyncio.Lock()
        super().__init__(**kwargs)

    def _defaults(self) -> dict[str, dict[str, Any]]:
        web = {
            # The Jupyter server looks at the name itself.
            "local_only": False,
            # The host is the Jupyter server's.
            "hsts_max_age": 0,
            # Whether a proxy in front speaks https is only in its headers. Scripts cannot set them
            # for another site's pages, and the client's address is for the Jupyter server to read.
            "trust_proxy": True,
        }
        if not self.upstreams.hubs:
            web["confirm_foreign"] = True
        return {"Web": web, "Network": {"private_addresses": True}}

    def _web_options(self) -> dict[str, Any]:
        return {"base_url": self._base_url, "access": ServerAccess()}

    async def open_history(self) -> None:
        """Keep launches that are over, if that is possible."""
        try:
            await super().open_history()
        except ConfigError as error:
            self.log.warning("binderprogress keeps no history: %s", error)

    async def start(self) -> None:
        """Begin to watch the BinderHubs, if there are any."""
        self.upstreams.start()

    async def _check_hub(self, launcher: HubLauncher) -> dict[str, Any]:
        # It starts with the first launch: that it does not run yet is no fault.
        return await super()._check_hub(launcher) if launcher.url else {"started": False}

    async def _available(self) -> None:
        if self._own is None:
            return
        async with self._starting:
            if self.hub is not None and self.hub.has_ended:
                self.log.warning("The JupyterHub of binderprogress has ended; starting another.")
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
        """Make the parts."""
        assert self.serverapp is not None  # noqa: S101 - for the type checker
        base_url = url_path_join(self.serverapp.web_app.settings["base_url"], self.extension_url)
        try:
            self.parts = ServerParts(base_url=base_url, parent=self)
        except (ConfigError, TraitError) as error:
            # The Jupyter server does not fail for the sake of an extension.
            self.log.warning("binderprogress is not there: %s", error)
            return
        self.settings["binderprogress"] = self.parts.web
        self.settings["log_function"] = without_launch_ids(self.settings["log_function"])
        # Not before: it would keep the Jupyter server from coming up.
        self.serverapp.io_loop.add_callback(self.parts.open_history)
        # Its loop does not run yet. (Newer Jupyter servers have a method for this.)
        self.serverapp.io_loop.add_callback(self.parts.start)

    def initialize_handlers(self) -> None:
        """Serve all that the server has, behind the login of the Jupyter server."""
        if self.parts is None:
            return
        web = self.parts.web
        for pattern, handler, *rest in handlers(web):
            path = pattern.removeprefix(re.escape(web.base_url))
            self.handlers.append((f"{self.extension_url}{path}", _with_login(handler), *rest))

    async def stop_extension(self) -> None:
        """Cancel what runs, and end the Hub that was started here."""
        if self.parts is not None:
            await self.parts.stop()


def _with_login(handler: type) -> type:
    """Return a handler that the Jupyter server's login works in; files need none."""
    if issubclass(handler, Handler):
        bases: tuple[type, ...] = (handler, JupyterHandler)
        everyone = handler.public
    else:
        bases, everyone = (handler,), True
    made = type(handler.__name__, bases, {})
    if everyone:
        # Says so to a Jupyter server that looks whether something was forgotten.
        for name in ("head", "get"):
            setattr(made, name, _open(getattr(made, name)))
    return made


def _open(method: Any) -> Any:
    """Return the method, marked, without a mark on that of the class it comes from."""

    @allow_unauthenticated
    def marked(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(self, *args, **kwargs)

    return marked


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "binderprogress.deploy.jupyter_server", "app": ServerExtension}]
