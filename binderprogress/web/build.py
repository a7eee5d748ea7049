"""BinderHub's endpoint ``/build/``: one GET starts a launch and streams its events.

Unlike BinderHub's, this stream can be resumed. Event ids contain the launch id, so a client that
reconnects with the last event id, as every `EventSource` does, resumes its launch.
"""

from __future__ import annotations

import math
from typing import ClassVar

import msgspec
from tornado.web import HTTPError

from ..core.phases import Phase
from ..errors import (
    BinderProgressError,
    RefusedError,
    ServerStoppingError,
    StorageError,
    TooManyRequestsError,
)
from .origins import origin_of
from .streams import StreamHandler, position
from .viewers import END

__all__ = ["BuildHandler"]


_EVENT_STREAM = "text/event-stream"


class BuildHandler(StreamHandler):
    """GET /build/{provider}/{spec}."""

    get_acts = True

    not_acceptable: ClassVar[tuple[int, str]] = (
        406,
        (
            "This URL responds with an event stream. Request it with the header Accept: "
            "text/event-stream, as in: curl -N -H 'Accept: text/event-stream' URL"
        ),
    )
    """Status and message for a request that does not ask for an event stream."""

    async def prepare(self) -> None:
        """Refuse requests that a page of another site could send without CORS.

        Attack: an image, frame, form or script in any page sends a GET request here, which starts a
        launch. Browsers do not accept an event stream for any of these.
        """
        await super().prepare()
        if self.request.method != "GET":
            # A CORS preflight request, or a method that is not supported.
            return
        self.check_accept()
        if not self._is_program() and not self._is_own_page():
            raise RefusedError(
                "Pages of other sites may not start launches this way, and this browser does not "
                "say which page sent the request. Use https, or allow the site with "
                f"{self.web.origins_setting}."
            )

    def check_accept(self) -> None:
        """Check that the request asks for an event stream.

        Raises
        ------
        HTTPError
            If it does not.
        """
        if not asks_for_stream(self.request.headers.get("Accept", "")):
            raise HTTPError(*self.not_acceptable)

    def _is_program(self) -> bool:
        """Whether the client is not a browser. `no-cors` requests cannot change the User-Agent."""
        headers = self.request.headers
        # `Sec-Fetch-Mode` would not do: Node.js sends it, too.
        agent = headers.get("User-Agent", "")
        return "Sec-Fetch-Site" not in headers and not agent.startswith("Mozilla/")

    def _is_own_page(self) -> bool:
        """Whether the request is from a page of this server or of an allowed site.

        Attack: ``fetch(url, {mode: "no-cors", headers: {Accept: "text/event-stream"}})`` sends no
        Origin. Over plain http, browsers send no `Sec-Fetch-Site` either, but they send the
        Referer, and a page cannot forge its origin.
        """
        headers = self.request.headers
        if "Origin" in headers or "*" in self.web.allowed_origins:
            # `ApiHandler.prepare` has checked the Origin.
            return True
        site = headers.get("Sec-Fetch-Site")
        if site is not None:
            return site in {"same-origin", "none"}
        return self.is_allowed(origin_of(headers.get("Referer", "")))

    async def get(self, _: str) -> None:
        """Start a launch and stream its events, or resume a stream."""
        last = self.request.headers.get("Last-Event-ID", "")
        try:
            # First, so that no launch starts that nobody can watch.
            self.become_viewer()
            if last:
                launch_id, _, number = last.rpartition(".")
                launch, after = await self.launch(launch_id), position(number)
            else:
                # Not decoded: a percent-encoded slash is part of a component.
                text = self.request.path.removeprefix(f"{self.web.base_url}build/")
                spec, build_only = self.read_spec(text), self.query("build_only").lower() == "true"
                launch, after = await self.start_launch(spec, build_only=build_only), 0
        except BinderProgressError as error:
            if error.status == 500:
                raise
            # BinderHub's clients only understand errors that are events.
            self.start_stream()
            if isinstance(error, (ServerStoppingError, StorageError, TooManyRequestsError)):
                self.set_header("Retry-After", str(math.ceil(error.retry_after)))
            failed = {
                "phase": Phase.FAILED,
                "status_code": error.status,
                "message": f"{error}\n",
            }
            self.finish(b"data: %b\n\n%b" % (msgspec.json.encode(failed), END))
            return
        # BinderHub's own client treats a stream that ends before it closes it as a failure.
        self.stream(launch, after, id_prefix=f"{launch.id}.", linger=self.web.linger)


def asks_for_stream(accept: str) -> bool:
    """Whether an Accept header names ``text/event-stream``. Wildcards do not count."""
    types = (part.partition(";")[0].strip().lower() for part in accept.split(","))
    return _EVENT_STREAM in types
