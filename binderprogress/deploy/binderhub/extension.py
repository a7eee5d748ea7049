"""Our launches, endpoints and pages, added to a BinderHub."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from jupyterhub.services.auth import HubOAuth
from prometheus_client import REGISTRY
from tornado.web import Application
from traitlets import Bool, Enum, List, TraitError, Unicode, default, validate
from traitlets.config import LoggingConfigurable

from ..._share import share_path
from ..._steps import take_steps
from ...backends.base import PairedBackend
from ...channels.config import Storage
from ...history.config import History
from ...web.additions import PageAdditions, is_origin, make_additions
from ...web.config import Web
from ...web.launch_ids import without_launch_ids
from ...web.metrics import CleanupCollector, StandbyCollector
from ...web.static import StaticHandler
from .. import standing_by
from ..composition import build_launches, with_defaults
from ..jupyterhub_access import JupyterHubAccess
from ..logs import SafeLogger
from ..tracing import Tracing
from . import handlers, pages
from .image_builder import BinderHubBuilder
from .server_launcher import BinderHubLauncher
from .standing_by import make_standby

__all__ = ["BinderProgress"]

_ID = r"([A-Za-z0-9_-]{1,64})"

_PATIENCE = 4.0
"""Maximum seconds for ending launches when the server is stopped."""

_STANDBY_PATIENCE = 2.0
"""Maximum seconds for stopping servers that stand ready."""

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

    show_version = Bool(
        False,
        help="""
        Add binderprogress and its version to /versions.

        mybinder.org's federation takes a member out of rotation whose /versions differ from those
        of the others. Clients find out about binderprogress from a header in any case.
        """,
    ).tag(config=True)

    page_origins = List(
        Unicode(),
        help="""
        Origins that scripts of BinderHub.extra_header_html and BinderHub.extra_footer_scripts load
        from and report to, on our pages. Those that extra_header_html itself names are allowed
        already.
        """,
    ).tag(config=True)

    @validate("page_origins")
    def _validate_page_origins(self, proposal: Any) -> list[str]:
        origins = [str(each).rstrip("/") for each in proposal["value"]]
        for origin in origins:
            if not is_origin(origin):
                raise TraitError(
                    f"c.BinderProgress.page_origins: {origin!r} is no origin. Write it with its "
                    "scheme and without a path, such as https://www.example.org."
                )
        return origins

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
        self.standby = make_standby(self, hub, self.launches, backend)
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
            # BinderHub's own pages have their own navigation.
            pages=("launches", "link", "stats") if self.page == "ours" else ("stats",),
            additions=_additions(hub, self.page_origins) if self.page == "ours" else None,
            **_login(hub, settings),
        )
        cleanups = CleanupCollector(lambda: len(launcher.cleanups.outstanding()))
        self._collectors = [*self.web.collectors, cleanups]
        if self.standby is not None:
            self._collectors.append(StandbyCollector(self.launches.standby))

    def attach(self, app: Application) -> None:
        """Add our endpoints in front of BinderHub's."""
        app.settings["binderprogress"] = self.web
        app.settings["log_function"] = without_launch_ids(app.settings["log_function"])
        app.add_handlers(".*", self._rules(app.settings))
        # /metrics shows everything that is registered.
        for collector in self._collectors:
            REGISTRY.register(collector)

    def detach_metrics(self) -> None:
        """Remove our metrics from /metrics, so that another BinderHub can be started here."""
        while self._collectors:
            REGISTRY.unregister(self._collectors.pop())

    async def open(self) -> None:
        """Open the store, and take up the launches of an earlier process.

        Raises
        ------
        BinderProgressError
            If the store cannot be opened.
        """
        await self.launches.open()
        if self.standby is not None:
            self.standby.start()

    async def close(self, *, hand_over: bool = False) -> None:
        """End all launches and clean up.

        Parameters
        ----------
        hand_over : bool
            Whether the next process goes on with launches that are stored.
        """
        self.web.refuse_requests()
        self.detach_metrics()
        await take_steps(
            self.log,
            ("stopping servers that stand ready", partial(self._stop_standby, hand_over)),
            ("stopping launches", partial(self._stop_launches, hand_over)),
            ("letting viewers reconnect", self.web.release_viewers),
            ("closing the history", partial(asyncio.to_thread, self.launches.history.close)),
            ("closing the traces", self.tracing.close),
        )

    async def _stop_standby(self, hand_over: bool) -> None:
        if self.standby is not None:
            await standing_by.stop(self.standby, hand_over=hand_over, patience=_STANDBY_PATIENCE)

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
            (r"api/builds", handlers.BinderHubBuildsHandler),
            (r"api/launches", handlers.BinderHubLaunchesHandler),
            (rf"api/launches/{_ID}", handlers.BinderHubLaunchHandler),
            (rf"api/launches/{_ID}/events", handlers.BinderHubEventsHandler),
            (rf"api/launches/{_ID}/socket", handlers.BinderHubSocketHandler),
            (rf"api/launches/{_ID}/log", handlers.BinderHubLogHandler),
            (rf"api/launches/{_ID}/trace", handlers.BinderHubTraceHandler),
            (r"api/openapi\.json", handlers.BinderHubOpenApiHandler),
            (r"api/schema/event\.json", handlers.BinderHubSchemaHandler),
            (r"api/images/([^/]+/.+)", handlers.BinderHubImageHandler),
            (r"api/stats", handlers.BinderHubStatsHandler),
            (r"api/popular", handlers.BinderHubPopularHandler),
            (
                r"versions",
                handlers.BinderHubVersionsHandler,
                {"show_version": self.show_version},
            ),
            (
                re.escape(self.web.static_path) + r"(.*)",
                StaticHandler,
                {"path": str(share_path("static"))},
            ),
        ]
        if "block_build_user_agents" not in settings:
            # Later versions of BinderHub have both.
            rules.append((r"robots\.txt", handlers.RobotsHandler))
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


def _additions(hub: Any, origins: Sequence[str]) -> PageAdditions:
    """Return what BinderHub's configuration adds to pages. Earlier versions have less of it."""
    title = hub.traits().get("default_opengraph_title")
    return make_additions(
        banner=getattr(hub, "banner_message", ""),
        head=_in_order(getattr(hub, "extra_header_html", {})),
        scripts=_in_order(getattr(hub, "extra_footer_scripts", {})),
        # BinderHub's default names BinderHub.
        title=hub.default_opengraph_title
        if title is not None and hub.default_opengraph_title != title.default_value
        else "",
        origins=origins,
    )


def _in_order(pieces: Mapping[str, str]) -> list[str]:
    """Return pieces in the order of their names, as BinderHub does."""
    return [pieces[name] for name in sorted(pieces, key=str.lower)]


def _limits(hub: Any) -> dict[str, Any]:
    """Return BinderHub's limits, as defaults for ours."""
    launcher = hub.launcher
    pauses = launcher.retry_delay * 2**launcher.retries
    return {
        "max_launches": _MANY,
        "max_builds": hub.concurrent_build_limit,
        "build_timeout": float(hub.build_max_age),
        # The launcher has its own timeout for each attempt.
        "launch_timeout": (launcher.launch_timeout + 60.0) * launcher.retries + pauses,
    }
