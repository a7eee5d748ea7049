"""BinderHub's application, with our handlers in front of its own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from binderhub.app import BinderHub
from jupyterhub.services.auth import HubOAuth
from prometheus_client import REGISTRY
from tornado.ioloop import IOLoop
from tornado.web import Application
from traitlets import Enum, default
from traitlets.config import LoggingConfigurable

from ..._share import share_path
from ..._steps import take_steps
from ...backends.base import PairedBackend
from ...channels.config import Storage
from ...errors import BinderProgressError
from ...history.config import History
from ...web.config import Web
from ...web.launch_ids import without_launch_ids
from ...web.metrics import CleanupCollector
from ...web.static import StaticHandler
from ..composition import build_launches, with_defaults
from ..jupyterhub_access import JupyterHubAccess
from ..logs import SafeLogger
from ..tracing import Tracing
from . import handlers, pages
from .image_builder import BinderHubBuilder
from .server_launcher import BinderHubLauncher
from .traced_launcher import traced

__all__ = ["BinderProgress", "BinderProgressHub", "main"]

_ID = r"([A-Za-z0-9_-]{1,64})"

_SHUTDOWN = 9.0
"""Maximum seconds for cleaning up when the server is stopped."""

_PATIENCE = 4.0
"""How many of them are for launches."""

_MANY = 10_000
"""Maximum number of running launches. BinderHub's quotas are the actual limit."""


class BinderProgress(LoggingConfigurable):
    """Adds launches, endpoints and pages to a BinderHub.

    Parameters
    ----------
    hub : BinderHub
        Already initialized.
    """

    page = Enum(
        ["binderhub", "ours"],
        "binderhub",
        help="""
        Which pages are shown at /v2/, /link and the front page.

        binderhub: BinderHub's own pages. ours: pages with <binder-progress>.
        """,
    ).tag(config=True)

    @default("log")
    def _safe_log(self) -> SafeLogger:
        # BinderHub's logger has a formatter that does not escape messages.
        assert isinstance(self.parent, LoggingConfigurable)  # noqa: S101 - for the type checker
        return SafeLogger(self.parent.log)

    def __init__(self, hub: Any, **kwargs: Any) -> None:
        super().__init__(parent=hub, **kwargs)
        settings = hub.tornado_app.settings
        web = {
            # The operator of BinderHub sets HSTS. BinderHub trusts its proxy.
            "hsts_max_age": 0,
            "trust_proxy": True,
            # Repo providers may have tokens for private repositories.
            "name_repositories": False,
            # With logins, launched code runs with the rights of the user.
            "confirm_foreign": bool(hub.auth_enabled),
        }
        limits = _limits(hub)
        self.config = with_defaults(self.config, {"Web": web, "LaunchManager": limits})
        launcher = BinderHubLauncher(settings, parent=self)
        backend = PairedBackend(BinderHubBuilder(settings, parent=self), launcher)
        self.tracing = Tracing(parent=self)
        storage = Storage(parent=self)
        self.launches = build_launches(
            self,
            backend,
            self.tracing,
            make_store=storage.open_store,
            open_logs=storage.open_logs,
        )
        self.launches.learn_from(History(parent=self).open())
        # Allow the same origins as BinderHub.
        origin = settings.get("headers", {}).get("Access-Control-Allow-Origin")
        static_path = "binderprogress/static/"
        self.web = Web(
            launches=self.launches,
            parent=self,
            base_url=hub.base_url,
            allowed_origins=[origin] if origin else [],
            static_path=static_path,
            # BinderHub serves its own badge at /badge.svg.
            badge_path=f"{static_path}badge.svg",
            origins_setting="c.BinderHub.cors_allow_origin",
            **_login(hub, settings),
        )
        cleanups = CleanupCollector(lambda: len(launcher.cleanups.outstanding()))
        self._collectors = [*self.web.collectors, cleanups]

    def attach(self, app: Application) -> None:
        """Add our endpoints in front of BinderHub's."""
        app.settings["binderprogress"] = self.web
        app.settings["log_function"] = without_launch_ids(app.settings["log_function"])
        app.add_handlers(".*", self._rules(app.settings))
        # /metrics shows everything that is registered.
        for collector in self._collectors:
            REGISTRY.register(collector)

    async def open(self) -> None:
        """Open the store, and take up the launches of an earlier process.

        Raises
        ------
        BinderProgressError
            If the store cannot be opened.
        """
        await self.launches.open()

    async def close(self, *, hand_over: bool = False) -> None:
        """End all launches and clean up.

        Parameters
        ----------
        hand_over : bool
            Whether the next process goes on with launches that are stored.
        """
        self.web.refuse_requests()
        for collector in self._collectors:
            REGISTRY.unregister(collector)
        await take_steps(
            self.log,
            ("stopping launches", partial(self._stop_launches, hand_over)),
            ("letting viewers reconnect", self.web.release_viewers),
            ("closing the history", partial(asyncio.to_thread, self.launches.history.close)),
            ("closing the traces", self.tracing.close),
        )

    async def _stop_launches(self, hand_over: bool) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self.launches.close(hand_over=hand_over)
        except TimeoutError:
            self.log.warning("Not all launches could be cleaned up in time.")

    def _rules(self, settings: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        rules: list[tuple[Any, ...]] = [
            (r"build/([^/]+/.+)", handlers.BinderHubBuildHandler),
            (rf"builds/{_ID}/log", handlers.BinderHubBuildLogPageHandler),
            (rf"api/builds/{_ID}/log", handlers.BinderHubBuildLogHandler),
            (r"api/launches", handlers.BinderHubLaunchesHandler),
            (rf"api/launches/{_ID}", handlers.BinderHubLaunchHandler),
            (rf"api/launches/{_ID}/events", handlers.BinderHubEventsHandler),
            (rf"api/launches/{_ID}/socket", handlers.BinderHubSocketHandler),
            (rf"api/launches/{_ID}/log", handlers.BinderHubLogHandler),
            (rf"api/launches/{_ID}/trace", handlers.BinderHubTraceHandler),
            (r"api/openapi\.json", handlers.BinderHubOpenApiHandler),
            (r"api/schema/event\.json", handlers.BinderHubSchemaHandler),
            (r"api/stats", handlers.BinderHubStatsHandler),
            (r"api/popular", handlers.BinderHubPopularHandler),
            (r"versions", handlers.BinderHubVersionsHandler),
            (
                re.escape(self.web.static_path) + r"(.*)",
                StaticHandler,
                {"path": str(share_path("static"))},
            ),
        ]
        if not settings["enable_api_only_mode"]:
            rules.append((r"stats", handlers.BinderHubStatsPageHandler))
        if self.page == "ours" and not settings["enable_api_only_mode"]:
            prefixes = "|".join(map(re.escape, settings["repo_providers"]))
            rules += [
                (r"", pages.BinderHubFrontHandler),
                (r"link", pages.BinderHubLinkHandler),
                (r"gallery/(.*)", pages.BinderHubPictureHandler),
                (r"go/(.*)", pages.BinderHubGoHandler),
                (rf"v2/((?:{prefixes})/.+)", pages.BinderHubLaunchPageHandler),
            ]
            if self.web.access.lists:
                rules.append((r"launches", pages.BinderHubOwnLaunchesPageHandler))
        return [(re.escape(self.web.base_url) + path, *rest) for path, *rest in rules]


class BinderProgressHub(BinderHub):
    """BinderHub with launches that can be resumed and shared, and that show their progress."""

    _failure: BinderProgressError | None = None
    """Why the store could not be opened."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """Initialize BinderHub, then add our endpoints in front."""
        super().initialize(*args, **kwargs)
        settings = self.tornado_app.settings
        self.launcher = settings["launcher"] = traced(settings["launcher"])
        self.progress = BinderProgress(self)
        self.progress.attach(self.tornado_app)

    def start(self, run_loop: bool = True) -> None:
        """Serve until SIGINT or SIGTERM."""
        super().start(run_loop=False)
        if run_loop:
            IOLoop.current().add_callback(self._begin)
            IOLoop.current().start()
            if self._failure is not None:
                raise self._failure

    async def _begin(self) -> None:
        self._handle_signals()
        try:
            await self.progress.open()
        except BinderProgressError as error:
            self._failure = error
            IOLoop.current().stop()

    def _handle_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: int) -> None:
        # A second signal ends the process at once.
        asyncio.get_running_loop().remove_signal_handler(number)
        self._shutdown = asyncio.create_task(self._shut_down(number))

    async def _shut_down(self, number: int) -> None:
        self.http_server.stop()
        try:
            async with asyncio.timeout(_SHUTDOWN):
                await self.progress.close(hand_over=number == signal.SIGTERM)
        except TimeoutError:
            self.log.warning("The server could not be stopped cleanly in time.")
        # As in BinderHub: a thread may be blocked, waiting for a build's log.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def main() -> None:
    """Run BinderHub with binderprogress."""
    try:
        BinderProgressHub.launch_instance()
    except BinderProgressError as error:
        sys.exit(str(error))


def _login(hub: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Web` for BinderHub's login."""
    if not hub.auth_enabled:
        return {}
    # The same instance as in BinderHub's handlers.
    auth = HubOAuth.instance(config=settings["traitlets_config"])
    return {
        "access": JupyterHubAccess(auth, named=False),
        "front_page": {"hub_url": settings["launcher"].hub_url},
    }


def _limits(hub: Any) -> dict[str, Any]:
    """Return BinderHub's limits, as defaults for ours."""
    launcher = hub.launcher
    pauses = launcher.retry_delay * 2**launcher.retries
    return {
        "max_launches": _MANY,
        "build_timeout": float(hub.build_max_age),
        # The launcher has its own timeout for each attempt.
        "launch_timeout": (launcher.launch_timeout + 60.0) * launcher.retries + pauses,
    }
