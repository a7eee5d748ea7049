"""The URL routes, and the Tornado application that serves them."""

from __future__ import annotations

import re
from typing import Any

from tornado.web import Application

from .._share import share_path
from .api import (
    ApiNotFoundHandler,
    BuildsHandler,
    EventSchemaHandler,
    LaunchesHandler,
    LaunchHandler,
    LogHandler,
)
from .build import BuildHandler
from .build_logs import BuildLogHandler, BuildLogPageHandler
from .config import Web
from .health import HealthHandler
from .images import ImageHandler
from .log_lines import (
    BuildLinesHandler,
    BuildSearchHandler,
    BuildTimesHandler,
    LaunchLinesHandler,
    LaunchSearchHandler,
    LaunchTimesHandler,
)
from .openapi import OpenApiHandler
from .own_launches import OwnLaunchesPageHandler
from .pages import (
    FrontHandler,
    GoHandler,
    LaunchPageHandler,
    LinkHandler,
    NotFoundHandler,
    PictureHandler,
)
from .prepull import PrepullHandler, PrepullPageHandler
from .static import StaticHandler
from .stats import PopularHandler, StatsHandler, StatsPageHandler
from .status import MetricsHandler, VersionsHandler
from .streams import EventsHandler, SocketHandler
from .trace import TraceHandler
from .whatif import WhatIfHandler, WhatIfPageHandler

__all__ = ["handlers", "make_app"]

_ID = r"([A-Za-z0-9_-]{1,64})"


def handlers(web: Web) -> list[Any]:
    """Return Tornado's URL rules, all below `web.base_url`."""
    rules: list[tuple[Any, ...]] = [
        (r"", FrontHandler),
        (r"gallery/(.*)", PictureHandler),
        (r"go/(.*)", GoHandler),
        (r"link", LinkHandler),
        (r"stats", StatsPageHandler),
        (r"prepull", PrepullPageHandler),
        (r"whatif", WhatIfPageHandler),
        (r"(badge\.svg)", StaticHandler, {"path": str(share_path("static"))}),
        (r"v2/(.+)", LaunchPageHandler),
        (r"build/(.+)", BuildHandler),
        (rf"builds/{_ID}/log", BuildLogPageHandler),
        (rf"api/builds/{_ID}/log", BuildLogHandler),
        (rf"api/builds/{_ID}/log/lines", BuildLinesHandler),
        (rf"api/builds/{_ID}/log/search", BuildSearchHandler),
        (rf"api/builds/{_ID}/log/times", BuildTimesHandler),
        (r"api/builds", BuildsHandler),
        (r"api/launches", LaunchesHandler),
        (rf"api/launches/{_ID}", LaunchHandler),
        (rf"api/launches/{_ID}/events", EventsHandler),
        (rf"api/launches/{_ID}/socket", SocketHandler),
        (rf"api/launches/{_ID}/log", LogHandler),
        (rf"api/launches/{_ID}/log/lines", LaunchLinesHandler),
        (rf"api/launches/{_ID}/log/search", LaunchSearchHandler),
        (rf"api/launches/{_ID}/log/times", LaunchTimesHandler),
        (r"api/images/(.+)", ImageHandler),
        (r"api/stats", StatsHandler),
        (r"api/popular", PopularHandler),
        (r"api/prepull", PrepullHandler),
        (r"api/whatif", WhatIfHandler),
        (rf"api/launches/{_ID}/trace", TraceHandler),
        # Not all of /api: inside a BinderHub, other routes share that prefix.
        (r"api/launches/.*", ApiNotFoundHandler),
        (r"api/schema/event\.json", EventSchemaHandler),
        (r"api/openapi\.json", OpenApiHandler),
        (r"health", HealthHandler),
        (r"versions", VersionsHandler),
        (r"metrics", MetricsHandler),
        (r"static/(.*)", StaticHandler, {"path": str(share_path("static"))}),
    ]
    if web.access.lists:
        rules.append((r"launches", OwnLaunchesPageHandler))
    return [(re.escape(web.base_url) + path, *rest) for path, *rest in rules]


def make_app(web: Web, **settings: Any) -> Application:
    """Return an application that serves only these routes.

    Parameters
    ----------
    web : Web
    **settings
        Further settings of the Tornado application.
    """
    return Application(
        [*handlers(web), (re.escape(web.base_url) + "api/.*", ApiNotFoundHandler)],
        binderprogress=web,
        default_handler_class=NotFoundHandler,
        # Compression would hold back the events of a stream until a block is full.
        compress_response=False,
        **settings,
    )
