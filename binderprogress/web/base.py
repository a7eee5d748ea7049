"""What all handlers have in common: who may ask, and how errors are said."""

from __future__ import annotations

import asyncio
import math
from typing import Any, ClassVar

import msgspec
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from ..core import specs, traceparent
from ..core.redact import redact
from ..core.specs import Spec
from ..errors import (
    BadRequestError,
    BinderProgressError,
    ConflictError,
    RefusedError,
    TooManyRequestsError,
)
from ..launches import Caller, Launch
from .config import Web
from .connections import as_viewer
from .launch_ids import Discreet
from .links import launch_link
from .origins import origin_of, scheme_of
from .security_headers import LOCAL_HOSTS, set_security_headers

__all__ = ["ApiHandler", "Handler", "content_security_policy"]


def content_security_policy(
    *picture_origins: str, form_action: str = "'self'", frame_ancestors: str = "'self'"
) -> str:
    """Return the policy of a page; it shows pictures of these other sites."""
    pictures = " ".join(["'self'", "data:", *picture_origins])
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"img-src {pictures}",
            "connect-src 'self'",
            "base-uri 'none'",
            f"form-action {form_action}",
            f"frame-ancestors {frame_ancestors}",
        ]
    )


class Handler(Discreet):
    """A handler that answers people with pages."""

    public: ClassVar[bool] = False
    """Whether it answers everybody, also where others have to log in."""

    get_acts: ClassVar[bool] = False
    """Whether its GET does more than tell."""

    user = ""
    """Who asks; empty where nobody has a name."""

    @property
    def web(self) -> Web:
        """What the handlers share."""
        web = self.settings["binderprogress"]
        assert isinstance(web, Web)  # noqa: S101 - for the type checker
        return web

    @property
    def scheme(self) -> str:
        """The scheme by which the browser asks: `http` or `https`."""
        return scheme_of(self.request, trust_proxy=self.web.trust_proxy)

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return Caller(
            base_url=f"{self.scheme}://{self.request.host}{self.web.base_url}",
            ip=self.request.remote_ip or "",
            user=self.user,
            parent=traceparent.parse(self.request.headers.get("traceparent", "")),
        )

    def launch(self, launch_id: str) -> Launch:
        """Return a launch of who asks.

        Raises
        ------
        NotFoundError
            If there is none, or it is somebody else's: that makes no difference.
        """
        return self.web.launches.get(launch_id, user=self.user)

    def own_link(self, spec: Spec, urlpath: str = "", *, base_url: str = "") -> str:
        """Return a link to the page that launches a spec, for one of our own pages.

        Where launches are asked about, it has a ticket, so that it is not asked about again.
        """
        ticket = self.make_ticket(str(spec))
        return launch_link(base_url or self.web.base_url, spec, urlpath, ticket=ticket)

    def make_ticket(self, what: str) -> str:
        """Return a one-time ticket for the page that is being sent; empty where none is needed."""
        self.set_header("Vary", "Cookie, Sec-Fetch-Dest, Sec-Fetch-Mode")
        # Attack: a script of another page of the same origin fetches ours, and reads the ticket.
        # Scripts cannot set these headers. Without them, as over plain http, there is no ticket.
        headers = self.request.headers
        opened = (headers.get("Sec-Fetch-Dest"), headers.get("Sec-Fetch-Mode"))
        if not self.web.confirm_foreign or opened != ("document", "navigate"):
            return ""
        return self.web.tickets.make(self.user, what)

    def launch_of(self, launch_id: str, spec: str) -> Launch:
        """Return a launch of who asks, of the repository that their page names.

        Parameters
        ----------
        launch_id : str
        spec : str
            As the page names it; empty: it names none.

        Raises
        ------
        ConflictError
            If the launch is of another repository.
        """
        launch = self.launch(launch_id)
        # Attack: a link to the page of a repository that people trust, with a launch of another
        # one behind the #.
        if spec and self.canonical_spec(spec) != str(launch.spec):
            raise ConflictError(
                "This launch is of another repository than the page says. Do not trust "
                "whoever gave you its address."
            )
        return launch

    def canonical_spec(self, text: str) -> str:
        """Return the one form of a spec."""
        return str(specs.parse(text))

    def read_spec(self, text: str) -> Spec:
        """Read a spec, quoted as it stands in an address."""
        return specs.parse(text)

    def set_default_headers(self) -> None:
        """Set the headers of every answer."""
        set_security_headers(self, scheme=self.scheme, hsts_max_age=self.web.hsts_max_age)
        # What is asked here is for who asks, and may have keys and tokens in it.
        self.set_header("Cache-Control", "no-store")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_policy()

    def set_policy(self, *picture_origins: str) -> None:
        """Set what the page may do; it shows pictures of these other sites."""
        access = self.web.access
        policy = content_security_policy(
            *picture_origins,
            form_action=access.form_action,
            frame_ancestors=access.frame_ancestors,
        )
        self.set_header("Content-Security-Policy", policy)

    async def prepare(self) -> None:
        """Refuse what comes by a name that is not ours, or from who may not."""
        if self.web.local_only and self.request.host_name.strip("[]") not in LOCAL_HOSTS:
            raise RefusedError("This server answers only under the name localhost.")
        # A browser's question before it asks for another site's page comes without a login.
        if not self.public and self.request.method != "OPTIONS":
            self.user = await self.web.access.identify(self)

    def query(self, name: str, default: str = "") -> str:
        """Return an argument of the query as it is: Tornado's own takes out control characters.

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

    def allowed_methods(self) -> list[str]:
        """Return the methods that this address takes."""
        return [
            method
            for method in self.SUPPORTED_METHODS
            if getattr(type(self), method.lower()) is not RequestHandler.get
        ]

    def set_error_status(self, status: int) -> None:
        """Set a status, and what has to be said with it."""
        self.set_status(status)
        if status == 405:
            self.set_header("Allow", ", ".join(self.allowed_methods()))
        elif status == 426:
            self.set_header("Upgrade", "websocket")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say what went wrong in a sentence; tracebacks are for the log."""
        message, status = _explain(status_code, kwargs.get("exc_info"))
        self.set_error_status(status)
        self.finish(self.web.render("error.html", status=status, message=message))


class ApiHandler(Handler):
    """A handler that answers programs, also those in other sites' pages where that is allowed."""

    def set_default_headers(self) -> None:
        """Set the headers of every answer, errors too: a page reads only what allows its origin."""
        super().set_default_headers()
        self.set_header("Vary", "Origin")
        origin = self.request.headers.get("Origin")
        if origin is not None and self.is_allowed(origin):
            everyone = "*" in self.web.allowed_origins
            self.set_header("Access-Control-Allow-Origin", "*" if everyone else origin)
            self.set_header("Access-Control-Expose-Headers", "Location, Retry-After")
            # Without it a page of another origin is not told how long an answer took here.
            self.set_header("Timing-Allow-Origin", "*" if everyone else origin)

    async def prepare(self) -> None:
        """Refuse what a page of a site that is not allowed would do in its visitor's name."""
        await super().prepare()
        origin = self.request.headers.get("Origin")
        if origin is not None and not self.is_allowed(origin):
            raise RefusedError(
                f"Pages of {origin[:200]} may not use this server. Whoever runs it can allow it "
                f"with {self.web.origins_setting}.{self._hint(origin)}"
            )

    def _hint(self, origin: str) -> str:
        """Say what to do if only the scheme differs: it looks like a proxy that speaks https."""
        if self.scheme == "http" and origin == f"https://{self.request.host}":
            return " If it is its own page, behind a proxy with https: with c.Web.trust_proxy."
        return ""

    def is_allowed(self, origin: str) -> bool:
        """Whether pages of an origin may use this server: its own may."""
        # Attack: whoever is on the network makes http://host say what they like, and a page there
        # would use https://host in its visitor's name. So the scheme counts, too.
        own = origin_of(f"{self.scheme}://{self.request.host}")
        if own and origin_of(origin) == own:
            return True
        allowed = self.web.allowed_origins
        return "*" in allowed or origin in allowed

    def options(self, *_: str) -> None:
        """Answer a browser that asks whether another site's page may."""
        self.set_header("Access-Control-Allow-Methods", "GET, POST, DELETE")
        headers = "Authorization, Content-Type, Last-Event-ID, traceparent"
        self.set_header("Access-Control-Allow-Headers", headers)
        self.set_header("Access-Control-Max-Age", "600")
        self.set_status(204)
        self.finish()

    async def send(self) -> bool:
        """Send what is written; False if the client is gone or does not read."""
        try:
            async with asyncio.timeout(self.web.viewer_timeout):
                await self.flush()
        except StreamClosedError:
            return False
        except TimeoutError:
            self.web.log.info("A client that did not read was dropped.")
            self.detach().close()
            return False
        return True

    def start_launch(self, spec: Spec) -> Launch:
        """Start a launch, unless this client has started too many."""
        self.web.limiter.take(self.caller.account)
        return self.web.launches.start(spec, self.caller)

    def become_viewer(self) -> None:
        """Take one of the places for viewers, where the server is our own.

        Raises
        ------
        TooManyRequestsError
            If all are taken.
        """
        connection = self.request.connection
        as_viewer(getattr(connection, "stream", None), self.request.remote_ip or "")

    def write_json(self, value: Any) -> None:
        """Finish with a value as JSON."""
        self.set_header("Content-Type", "application/json")
        body = msgspec.json.encode(value)
        # What a browser's developer tools show beside the time on the way.
        milliseconds = 1000.0 * self.request.request_time()
        self.set_header("Server-Timing", f"app;dur={milliseconds:.1f}")
        self.finish(body)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say what went wrong as JSON."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        message, status = _explain(status_code, kwargs.get("exc_info"))
        self.set_error_status(status)
        if isinstance(error, TooManyRequestsError):
            self.set_header("Retry-After", str(math.ceil(error.retry_after)))
        self.write_json({"error": {"message": message, "status": status}})


def _explain(status: int, exc_info: Any) -> tuple[str, int]:
    error = exc_info[1] if exc_info else None
    if isinstance(error, BinderProgressError) and error.status < 500:
        return redact(str(error)), error.status
    if isinstance(error, HTTPError) and error.log_message and status < 500:
        message = error.log_message % error.args if error.args else error.log_message
        return redact(message).rstrip(".") + ".", status
    if status == 404:
        return "There is nothing at this address.", status
    if status == 405:
        return "This address does not take requests of this kind.", status
    if status < 500:
        return "This request is not understood.", status
    return "Something went wrong on the server. Its log has more.", status
