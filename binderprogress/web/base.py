"""Base classes of the handlers: access checks, headers and error responses."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from ..core import specs, traceparent
from ..core.specs import Spec, Target
from ..errors import (
    BadRequestError,
    ConflictError,
    HistoryUnavailableError,
    NotFoundError,
    RefusedError,
    ServerStoppingError,
    StorageError,
    TooManyRequestsError,
)
from ..launches import Caller, Launch
from .connections import admit_viewer
from .explanations import FORM_REFUSED, explain, heading_key, is_form_refused
from .hosts import prefer_host
from .links import launch_link
from .origins import origin_of, scheme_of
from .security_headers import LOCAL_HOSTS, set_security_headers
from .translated import TranslatedHandler

__all__ = ["FORM", "ApiHandler", "Handler", "content_security_policy"]

FORM = "link"
"""The purpose of the tickets of forms. It is not a valid spec, so links cannot use them."""

_TEMPORARY = (HistoryUnavailableError, ServerStoppingError, StorageError, TooManyRequestsError)
"""Errors that say after how long to try again."""


def content_security_policy(
    *picture_origins: str,
    form_action: str = "'self'",
    frame_ancestors: str = "'self'",
    more: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Return the Content-Security-Policy of a page.

    Parameters
    ----------
    *picture_origins : str
        Other origins whose pictures the page shows.
    form_action, frame_ancestors : str
        Sources of these directives.
    more : mapping of str to sequence of str, optional
        Further sources, by directive; see `PageAdditions`.
    """
    directives = {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:", *picture_origins],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": [form_action],
        "frame-ancestors": [frame_ancestors],
    }
    for name, sources in (more or {}).items():
        directives.setdefault(name, []).extend(sources)
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in directives.items())


class Handler(TranslatedHandler):
    """Base class of handlers that send pages."""

    public: ClassVar[bool] = False
    """Whether it responds without a login."""

    get_acts: ClassVar[bool] = False
    """Whether its GET request has side effects."""

    user = ""
    """The name of the user; empty if there are no users."""

    @property
    def scheme(self) -> str:
        """The scheme that the browser used: ``http`` or ``https``."""
        return scheme_of(self.request, trust_proxy=self.web.trust_proxy)

    @property
    def caller(self) -> Caller:
        """The sender of this request, as `LaunchManager` needs it."""
        return Caller(
            base_url=f"{self.scheme}://{self.request.host}{self.web.base_url}",
            ip=self.request.remote_ip or "",
            user=self.user,
            parent=traceparent.parse(self.request.headers.get("traceparent", "")),
        )

    async def launch(self, launch_id: str) -> Launch:
        """Return a launch of the user.

        Raises
        ------
        NotFoundError
            If it does not exist or belongs to another user.
        StorageError
            If it cannot be looked up.
        ServerStoppingError
            If the server is being stopped.
        """
        try:
            return await self.web.launches.find(launch_id, user=self.user)
        except NotFoundError:
            # It may have been forgotten only because the store is closed.
            self.web.refuse_if_stopping()
            raise

    def own_link(self, spec: Spec, urlpath: str = "", *, base_url: str = "") -> str:
        """Return a link to the launch page of a spec, for use in one of this server's pages.

        If launches need confirmation, the link has a ticket that makes it unnecessary. It keeps the
        language that this page's address names.
        """
        ticket = self.make_ticket(str(spec))
        base_url = base_url or self.web.base_url
        return launch_link(base_url, spec, urlpath, ticket=ticket, lang=self.asked_language)

    def form_variables(self) -> dict[str, Any]:
        """Return what the templates with a form that launches a repository need."""
        return {
            "ticket": self.make_ticket(FORM),
            "xsrf": self.xsrf_token.decode() if self.web.access.lists else "",
        }

    def make_ticket(self, purpose: str) -> str:
        """Return a one-time ticket for the page in this response.

        Parameters
        ----------
        purpose : str
            What the ticket is valid for, such as a spec.

        Returns
        -------
        str
            Empty if no ticket is needed, or the request is not a navigation of a browser.
        """
        self.vary("Cookie", "Sec-Fetch-Dest", "Sec-Fetch-Mode")
        # Attack: a script in another page of the same origin fetches this page and reads the
        # ticket. Scripts cannot set these headers. Browsers omit them over plain http; then there
        # is no ticket.
        headers = self.request.headers
        destination = (headers.get("Sec-Fetch-Dest"), headers.get("Sec-Fetch-Mode"))
        if not self.web.confirm_foreign or destination != ("document", "navigate"):
            return ""
        return self.web.tickets.make(self.user, purpose)

    async def launch_of(self, launch_id: str, spec: str) -> Launch:
        """Return a launch of the user, and check that it is of the repository that a page names.

        Parameters
        ----------
        launch_id : str
        spec : str
            The spec that the page names, or an empty string.

        Raises
        ------
        NotFoundError
            If it does not exist or belongs to another user.
        ConflictError
            If the launch is of another repository.
        """
        launch = await self.launch(launch_id)
        # Attack: a link to the page of a trusted repository, with the id of another repository's
        # launch in its fragment.
        if spec and str(launch.spec) not in self.named_specs(spec):
            raise ConflictError(
                "This launch is of another repository than the page shows. Do not trust "
                "whoever gave you this link."
            )
        return launch

    def named_specs(self, text: str) -> set[str]:
        """Return the canonical forms of all specs that a spec or an address may mean."""
        if not specs.is_address(text):
            return {self.canonical_spec(text)}
        target = specs.read_address(text)
        return {str(target.spec), *(str(target.at(ref).spec) for ref in target.refs)}

    def canonical_spec(self, text: str) -> str:
        """Return the canonical form of a spec."""
        return str(specs.parse(text))

    def read_spec(self, text: str) -> Spec:
        """Parse a spec from a URL, still percent-encoded.

        Raises
        ------
        SpecError
            If it is invalid.
        """
        return specs.parse(text)

    async def read_address(self, address: str, ref: str = "") -> Target:
        """Parse the URL of a repository. If its ref is ambiguous, look it up in the repository.

        Raises
        ------
        SpecError
            If nothing at the address can be launched.
        TooManyRequestsError
            If the rate limit is exceeded. A look-up counts as a launch.
        """
        target = specs.read_address(address, ref)
        if not target.refs:
            return target
        await self.web.limiter.admit(self.caller.account)
        resolved = await self.web.launches.find_ref(target.spec, target.refs)
        return target.at(resolved or target.spec.ref)

    def set_default_headers(self) -> None:
        """Set the headers of all responses."""
        set_security_headers(self, scheme=self.scheme, hsts_max_age=self.web.hsts_max_age)
        # Responses may contain launch ids and tokens.
        self.set_header("Cache-Control", "no-store")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        if self.web.is_stopping:
            self.set_header("Connection", "close")
        self.set_policy()

    def set_policy(self, *picture_origins: str) -> None:
        """Set the Content-Security-Policy, which allows pictures from these other origins."""
        access = self.web.access
        policy = content_security_policy(
            *picture_origins,
            form_action=access.form_action,
            frame_ancestors=access.frame_ancestors,
            more=self.web.additions.sources,
        )
        self.set_header("Content-Security-Policy", policy)

    async def prepare(self) -> None:
        """Check the host name, and identify the user."""
        if self.web.local_only and self.request.host_name.strip("[]") not in LOCAL_HOSTS:
            raise RefusedError("This server only answers requests for localhost.")
        # Browsers send CORS preflight requests without credentials.
        if not self.public and self.request.method != "OPTIONS":
            self.web.refuse_if_stopping()
            self.user = await self.web.access.identify(self)

    def query(self, name: str, default: str = "") -> str:
        """Return a query argument unchanged. Tornado's own method removes control characters.

        Raises
        ------
        BadRequestError
            If it is not UTF-8.
        """
        values = self.request.query_arguments.get(name)
        try:
            return values[-1].decode() if values else default
        except UnicodeDecodeError as error:
            raise BadRequestError(f"`{name}` is not UTF-8.") from error

    async def send(self) -> bool:
        """Flush the output. Return False if the client has disconnected or does not read."""
        try:
            async with asyncio.timeout(self.web.viewer_timeout):
                await self.flush()
        except StreamClosedError:
            return False
        except TimeoutError:
            self.web.log.info("Disconnected a client that did not read.")
            self.detach().close()
            return False
        return True

    def allowed_methods(self) -> list[str]:
        """Return the HTTP methods that this handler supports."""
        return [
            method
            for method in self.SUPPORTED_METHODS
            if getattr(type(self), method.lower()) is not RequestHandler.get
        ]

    def set_error_status(self, status: int, exc_info: Any = None) -> None:
        """Set the status of an error response, and the header that belongs to it.

        Parameters
        ----------
        status : int
        exc_info : tuple, optional
            The error.
        """
        self.set_status(status)
        error = exc_info[1] if exc_info else None
        if isinstance(error, _TEMPORARY):
            self.set_header("Retry-After", str(math.ceil(error.retry_after)))
        if status == 405:
            self.set_header("Allow", ", ".join(self.allowed_methods()))
        elif status == 426:
            self.set_header("Upgrade", "websocket")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send an error page with one sentence. Tracebacks go to the log only."""
        exc_info = kwargs.get("exc_info")
        message, status = explain(status_code, exc_info)
        self.set_error_status(status, exc_info)
        if is_form_refused(exc_info):
            message = FORM_REFUSED
        # With logins, the form needs a user.
        is_known = bool(self.user) or not self.web.access.lists
        has_form = status in {400, 404} and is_known and "link" in self.web.nav
        variables = self.form_variables() if has_form else {}
        page = self.page(
            "error.html",
            status=status,
            message=message,
            otherwise=heading_key(status, exc_info),
            has_form=has_form,
            can_retry=self.request.method == "GET" and (status == 429 or status >= 500),
            **variables,
        )
        self.finish(page)


class ApiHandler(Handler):
    """Base class of handlers for programs, including pages of other sites if they are allowed."""

    def set_default_headers(self) -> None:
        """Set the headers of all responses, including the CORS headers."""
        super().set_default_headers()
        self.set_header("Vary", "Origin")
        origin = self.request.headers.get("Origin")
        if origin is not None and self.is_allowed(origin):
            everyone = "*" in self.web.allowed_origins
            self.set_header("Access-Control-Allow-Origin", "*" if everyone else origin)
            self.set_header("Access-Control-Expose-Headers", "Location, Retry-After")
            # Without this header, pages of other origins cannot read Server-Timing.
            self.set_header("Timing-Allow-Origin", "*" if everyone else origin)

    async def prepare(self) -> None:
        """Refuse requests from pages of other sites unless they are allowed."""
        await super().prepare()
        origin = self.request.headers.get("Origin")
        if origin is not None and not self.is_allowed(origin):
            raise RefusedError(
                f"Pages of {origin[:200]} may not use this server. Its administrator can allow "
                f"them with {self.web.origins_setting}.{self._hint(origin)}"
            )

    def _hint(self, origin: str) -> str:
        """Return a hint if only the scheme differs, which suggests a proxy that ends TLS."""
        if self.scheme == "http" and origin == f"https://{self.request.host}":
            return " If this is the server's own page behind an https proxy, set c.Web.trust_proxy."
        return ""

    def is_allowed(self, origin: str) -> bool:
        """Whether pages of an origin may use this server. Its own pages always may."""
        # Attack: someone on the network forges http://host, and a page there uses https://host
        # with the visitor's cookies. So the scheme must match, too.
        own = origin_of(f"{self.scheme}://{self.request.host}")
        if own and origin_of(origin) == own:
            return True
        allowed = self.web.allowed_origins
        return "*" in allowed or origin in allowed

    def options(self, *_: str) -> None:
        """Respond to a CORS preflight request."""
        self.set_header("Access-Control-Allow-Methods", "GET, POST, DELETE")
        headers = "Authorization, Content-Type, Last-Event-ID, traceparent"
        self.set_header("Access-Control-Allow-Headers", headers)
        self.set_header("Access-Control-Max-Age", "600")
        self.set_status(204)
        self.finish()

    async def admit(self) -> None:
        """Count a request that starts a launch, or that costs as much.

        Raises
        ------
        TooManyRequestsError
            If this client has sent too many of them.
        """
        await self.web.limiter.admit(self.caller.account)

    async def start_launch(self, spec: Spec, *, build_only: bool = False) -> Launch:
        """Start a launch for the user, or only its build.

        Raises
        ------
        TooManyRequestsError
            If this client has started too many launches, or too many are in progress.
        StorageError
            If the launch cannot be stored.
        """
        await self.admit()
        if self.web.hosts is not None:
            scheme = scheme_of(self.request, trust_proxy=self.web.trust_proxy)
            prefer_host(self, self.web.hosts, path=self.web.base_url, secure=scheme == "https")
        caller = msgspec.structs.replace(self.caller, build_only=build_only)
        return await self.web.launches.start(spec, caller)

    def become_viewer(self) -> None:
        """Count this connection as a viewer. Without effect in a server that is not `HttpServer`.

        Raises
        ------
        TooManyRequestsError
            If there are too many viewers.
        """
        connection = self.request.connection
        admit_viewer(getattr(connection, "stream", None), self.request.remote_ip or "")

    def write_json(self, value: Any) -> None:
        """Finish the response with a value as JSON."""
        self.set_header("Content-Type", "application/json")
        body = msgspec.json.encode(value)
        # Shown in the browser's developer tools.
        milliseconds = 1000.0 * self.request.request_time()
        self.set_header("Server-Timing", f"app;dur={milliseconds:.1f}")
        self.finish(body)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send an error as JSON with one sentence."""
        message, status = explain(status_code, kwargs.get("exc_info"))
        self.set_error_status(status, kwargs.get("exc_info"))
        self.write_json({"error": {"message": message, "status": status}})
