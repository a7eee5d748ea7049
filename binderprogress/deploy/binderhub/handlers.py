"""Our handlers, with BinderHub's checks.

Each handler inherits from one of ours and from BinderHub's base handler. BinderHub's own code
rejects banned networks, requests without a login, wrong build tokens, and too many requests.
"""

from __future__ import annotations

import json
from contextlib import suppress
from http.client import responses
from typing import Any, ClassVar

import msgspec
from binderhub.base import BaseHandler, VersionHandler
from binderhub.builder import BuildHandler as OriginalBuildHandler
from tornado.web import HTTPError

from ..._version import VERSION_HEADER, __version__
from ...core.phases import Phase
from ...core.specs import RECORDS, Spec
from ...errors import (
    BadRequestError,
    BinderProgressError,
    RefusedError,
)
from ...launches import Launch
from ...web.api import (
    BuildsHandler,
    EventSchemaHandler,
    LaunchesHandler,
    LaunchHandler,
    LogHandler,
)
from ...web.build import BuildHandler
from ...web.build_logs import BuildLogHandler, BuildLogPageHandler
from ...web.images import ImageHandler
from ...web.openapi import OpenApiHandler
from ...web.stats import PopularHandler, StatsHandler, StatsPageHandler
from ...web.streams import EventsHandler, SocketHandler, position
from ...web.trace import TraceHandler
from ...web.viewers import END
from ..jupyterhub_access import SERVICE
from .rejections import check_user_agent, counted
from .requests import ProviderSpec, Visit

TOKEN_COOKIE = "binder-build-token"  # noqa: S105 - the name of a cookie
"""The cookie in which our launch page keeps the build token for its launch."""

__all__ = [
    "TOKEN_COOKIE",
    "BinderHubBuildHandler",
    "BinderHubBuildLogHandler",
    "BinderHubBuildLogPageHandler",
    "BinderHubEventsHandler",
    "BinderHubLaunchHandler",
    "BinderHubLaunchesHandler",
    "BinderHubLogHandler",
    "BinderHubOpenApiHandler",
    "BinderHubPopularHandler",
    "BinderHubSchemaHandler",
    "BinderHubSocketHandler",
    "BinderHubStatsHandler",
    "BinderHubStatsPageHandler",
    "BinderHubTraceHandler",
    "BinderHubVersionsHandler",
    "Guarded",
    "LaunchResource",
    "RobotsHandler",
]


class Guarded(BaseHandler):
    """Adds BinderHub's checks to one of our handlers. `Web.access` checks the login."""

    # With a login, nothing is public, not even the description of the API.
    public = False

    def set_default_headers(self) -> None:
        """Set BinderHub's headers and ours."""
        super().set_default_headers()
        # BinderHub's method does not call ours.
        super(BaseHandler, self).set_default_headers()

    def options(self, *arguments: str) -> None:
        """Answer a CORS preflight request."""
        super(BaseHandler, self).options(*arguments)
        self.set_header(
            "Access-Control-Allow-Headers",
            "Authorization, Cache-Control, Content-Type, Last-Event-ID",
        )

    async def prepare(self) -> None:
        """Run BinderHub's checks, then ours."""
        # BinderHub's `prepare` does the same, but does not await ours.
        self.check_request_ip()
        await super(BaseHandler, self).prepare()

    def canonical_spec(self, text: str) -> str:
        """Return the canonical form of a spec."""
        prefix, _, rest = text.partition("/")
        return str(self.find_spec(prefix, rest))

    def find_spec(self, prefix: str, text: str) -> ProviderSpec:
        """Read a spec of any of BinderHub's providers.

        Raises
        ------
        BadRequestError, RefusedError
            If BinderHub rejects it.
        """
        text = text.rstrip("/")
        provider = self._provider(prefix, text)
        return ProviderSpec(
            provider=prefix,
            repo_url=provider.get_repo_url(),
            ref=provider.unresolved_ref or ("" if prefix in RECORDS else "HEAD"),
            text=text,
            visit=self._visit(),
        )

    def _provider(self, prefix: str, text: str) -> Any:
        if prefix not in self.settings["repo_providers"]:
            raise BadRequestError(f"No provider found for prefix {prefix}")
        try:
            provider = self.get_provider(prefix, spec=text)
        except Exception as error:
            self.web.log.info("No provider for %s:%s", prefix, text, exc_info=True)
            raise BadRequestError(str(error)) from error
        if provider.is_banned():
            raise RefusedError(
                f"Sorry, {text} is not allowed to launch. Please contact admins for more info!"
            )
        return provider

    def _visit(self) -> Visit:
        headers = self.request.headers
        return Visit(
            user=self.user,
            launch_host=self.get_badge_base_url() or self.caller.base_url,
            build_token=getattr(self, "_have_build_token", False),
            host=self.settings["normalized_origin"] or self.request.host,
            origin=headers.get("Origin", headers.get("Sec-Fetch-Site", "")),
        )


class LaunchStarter(Guarded):
    """Adds BinderHub's checks of a new launch, in BinderHub's order."""

    build_only: ClassVar[bool] = False

    def read_spec(self, text: str) -> Spec:
        """Check the request, then read its spec.

        Raises
        ------
        HTTPError
            If BinderHub rejects the request.
        BadRequestError, RefusedError
            If BinderHub rejects the repository, or if the caller is a service.
        """
        prefix, _, text = text.partition("/")
        spec = f"{prefix}/{text}"
        check_user_agent(self, spec)
        self.check_token(spec)
        with counted(self, spec, "rate_limit"):
            self.check_rate_limit()
        build_only = self.build_only or bool(OriginalBuildHandler._get_build_only(self))
        if self.build_only and not self.settings["enable_api_only_mode"]:
            # As BinderHub refuses `build_only`.
            raise RefusedError("Building alone needs c.BinderHub.enable_api_only_mode = True.")
        if self.user.startswith(SERVICE) and not build_only:
            # Attack: BinderHub would start a server for a user with the same name as the service.
            raise RefusedError("Launches start servers of users. A service cannot have servers.")
        with counted(self, spec, "banned_repo", RefusedError):
            found = self.find_spec(prefix, text)
        return msgspec.structs.replace(found, build_only=build_only)

    def check_token(self, spec: str) -> None:
        """Reject a build token that is not for this spec."""
        self.check_build_token(self.get_query_argument("build_token", None), spec)

    async def start_launch(self, spec: Spec, *, build_only: bool = False) -> Launch:
        """Start a launch. `read_spec` has already counted it for the rate limit."""
        caller = msgspec.structs.replace(self.caller, build_only=build_only)
        launch: Launch = await self.web.launches.start(spec, caller)
        return launch


class LaunchResource(Guarded):
    """A handler whose URL has the id of a launch. Without logins, the id alone gives access."""


class PageLaunchStarter(LaunchStarter):
    """Starts launches for our pages, too."""

    def check_token(self, spec: str) -> None:
        """Reject a wrong build token. The cookie of our page may have expired, and is optional."""
        super().check_token(spec)
        cookie = self.get_cookie(TOKEN_COOKIE)
        if cookie and not self._have_build_token:
            with suppress(HTTPError):
                self.check_build_token(cookie, spec)


class BinderHubLaunchesHandler(PageLaunchStarter, LaunchesHandler):
    """/api/launches."""


class BinderHubBuildsHandler(PageLaunchStarter, BuildsHandler):
    """/api/builds."""

    build_only = True


class BinderHubImageHandler(PageLaunchStarter, ImageHandler):
    """/api/images/{spec}."""

    async def admit(self) -> None:
        """Do nothing: `read_spec` has already counted it for the rate limit."""


class BinderHubLaunchHandler(LaunchResource, LaunchHandler):
    """/api/launches/{id}."""


class BinderHubEventsHandler(LaunchResource, EventsHandler):
    """/api/launches/{id}/events."""


class BinderHubSocketHandler(LaunchResource, SocketHandler):
    """/api/launches/{id}/socket."""


class BinderHubLogHandler(LaunchResource, LogHandler):
    """/api/launches/{id}/log."""


class BinderHubBuildLogHandler(Guarded, BuildLogHandler):
    """/api/builds/{id}/log."""


class BinderHubBuildLogPageHandler(Guarded, BuildLogPageHandler):
    """/builds/{id}/log."""


class BinderHubStatsHandler(Guarded, StatsHandler):
    """/api/stats."""


class BinderHubStatsPageHandler(Guarded, StatsPageHandler):
    """/stats."""


class BinderHubPopularHandler(Guarded, PopularHandler):
    """/api/popular."""


class BinderHubTraceHandler(LaunchResource, TraceHandler):
    """/api/launches/{id}/trace."""


class BinderHubBuildHandler(LaunchStarter, BuildHandler):
    """/build/{provider}/{spec}: BinderHub's endpoint, with launches that can be resumed."""

    # GET starts a launch here, but a cookie is enough: BinderHub's page sends nothing else. Links
    # and redirects do not ask for an event stream, and JupyterHub's login requires an XSRF token
    # from scripts.
    get_acts = False

    # As BinderHub says it.
    not_acceptable = (400, "Missing Accept header: text/event-stream")

    @property
    def _text(self) -> str:
        """The spec in the path. Not decoded: a percent-encoded slash is part of a component."""
        return str(self.request.path.removeprefix(f"{self.web.base_url}build/"))

    async def prepare(self) -> None:
        """Run the checks in BinderHub's order: that of the Accept header is before the login."""
        self.check_request_ip()
        if self.request.method == "GET":
            self.check_accept()
        await super().prepare()

    def check_request_ip(self) -> None:
        """Reject requests from banned networks."""
        with counted(self, self._text, "banned_ip"):
            super().check_request_ip()

    def check_accept(self) -> None:
        """Reject requests that do not ask for an event stream."""
        with counted(self, self._text, "accept_header"):
            super().check_accept()

    async def get(self, _: str) -> None:
        """Start a launch and stream its events, or resume a stream."""
        last = self.request.headers.get("Last-Event-ID", "")
        if last:
            launch_id, _, number = last.rpartition(".")
            launch, after = await self.launch(launch_id), position(number)
        else:
            launch, after = await self.start_launch(self.read_spec(self._text)), 0
        self.stream(launch, after, id_prefix=f"{launch.id}.", linger=self.web.linger)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Send the error as an event, as BinderHub does, because its clients expect one."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, BinderProgressError):
            status_code, message = error.status, str(error)
        else:
            message = self.extract_message(kwargs["exc_info"]) if error else ""
        message = message or responses.get(status_code, "Unknown HTTP Error")
        failed = {"phase": Phase.FAILED, "status_code": status_code, "message": f"{message}\n"}
        if not self._headers_written:
            self.start_stream()
        self.write(b"data: %b\n\n%b" % (msgspec.json.encode(failed), END))
        self.finish()


class BinderHubVersionsHandler(VersionHandler):
    """/versions: BinderHub's versions, and ours in a header."""

    def initialize(self, *, show_version: bool) -> None:
        """Set whether the response has our version, too."""
        super().initialize()
        self._show_version = show_version

    def set_default_headers(self) -> None:
        """Set our version, by which clients find out about us, also in pages of other sites."""
        super().set_default_headers()
        self.set_header(VERSION_HEADER, __version__)
        self.set_header("Access-Control-Expose-Headers", VERSION_HEADER)

    def write(self, chunk: Any) -> None:
        """Add our version to BinderHub's response, but not to an error."""
        if self._show_version and self.get_status() == 200:
            chunk = json.dumps({**json.loads(chunk), "binderprogress": __version__})
        super().write(chunk)


class RobotsHandler(BaseHandler):
    """/robots.txt: asks robots not to launch anything, as BinderHub does since May 2026."""

    def get(self) -> None:
        """Disallow everything."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write("User-agent: *\nDisallow: /\n")


class BinderHubSchemaHandler(Guarded, EventSchemaHandler):
    """/api/schema/event.json."""


class BinderHubOpenApiHandler(Guarded, OpenApiHandler):
    """/api/openapi.json."""
