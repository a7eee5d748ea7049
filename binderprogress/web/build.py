"""BinderHub's endpoint, kept for its clients: one GET starts a launch and streams it.

Here it resumes. The ids of its events name the launch too, so that a client that connects again
with the id of the last one (every `EventSource` does) goes on where it stopped.
"""

from __future__ import annotations

import math

import msgspec
from tornado.web import HTTPError

from ..core.phases import Phase
from ..errors import BinderProgressError, RefusedError, TooManyRequestsError
from .origins import origin_of
from .streams import StreamHandler, position
from .viewers import END

__all__ = ["BuildHandler"]


_EVENT_STREAM = "text/event-stream"


class BuildHandler(StreamHandler):
    """GET /build/{provider}/{spec}."""

    get_acts = True

    async def prepare(self) -> None:
        """Refuse what another site's page could do without asking.

        Attack: an image, a frame, a form or a script of any page sends a GET here, and this GET
        starts what it names. None of those that a browser sends by itself asks for a stream.
        """
        await super().prepare()
        if self.request.method != "GET":
            # A browser's question before a request, or a method that is not answered here.
            return
        if not asks_for_stream(self.request.headers.get("Accept", "")):
            raise HTTPError(
                406,
                "This address answers with a stream. Ask for it with the header Accept: "
                "text/event-stream, as in: curl -N -H 'Accept: text/event-stream' ADDRESS",
            )
        if not self._is_program() and not self._is_own_page():
            raise RefusedError(
                "Pages of other sites may not start a launch this way, and this browser does not "
                "say which page asks. Use https, or allow the site with "
                f"{self.web.origins_setting}."
            )

    def _is_program(self) -> bool:
        """Whether no browser asks. In a `no-cors` request, a page cannot change the User-Agent."""
        headers = self.request.headers
        # Not by `Sec-Fetch-Mode`: Node.js sends that one, too.
        agent = headers.get("User-Agent", "")
        return "Sec-Fetch-Site" not in headers and not agent.startswith("Mozilla/")

    def _is_own_page(self) -> bool:
        """Whether a page of this server asks, or one of a site that is allowed.

        Attack: `fetch(url, {mode: "no-cors", headers: {Accept: "text/event-stream"}})` sends no
        Origin from any page. Over plain http, a browser sends no `Sec-Fetch-Site` either, but the
        Referer, whose origin a page of another site cannot choose.
        """
        headers = self.request.headers
        if "Origin" in headers or "*" in self.web.allowed_origins:
            # `ApiHandler.prepare` has looked at it.
            return True
        site = headers.get("Sec-Fetch-Site")
        if site is not None:
            return site in {"same-origin", "none"}
        return self.is_allowed(origin_of(headers.get("Referer", "")))

    def get(self, _: str) -> None:
        """Start a launch and stream it, or go on with one that this client has begun."""
        last = self.request.headers.get("Last-Event-ID", "")
        try:
            # Before it starts what nobody could watch.
            self.become_viewer()
            if last:
                launch_id, _, number = last.rpartition(".")
                launch, after = self.launch(launch_id), position(number)
            else:
                # As it stands in the address: quoted slashes are part of a component.
                text = self.request.path.removeprefix(f"{self.web.base_url}build/")
                launch, after = self.start_launch(self.read_spec(text)), 0
        except BinderProgressError as error:
            if error.status >= 500:
                raise
            # BinderHub's clients know only what comes as an event.
            self.start_stream()
            if isinstance(error, TooManyRequestsError):
                self.set_header("Retry-After", str(math.ceil(error.retry_after)))
            failed = {
                "phase": Phase.FAILED,
                "status_code": error.status,
                "message": f"{error}\n",
            }
            self.finish(b"data: %b\n\n%b" % (msgspec.json.encode(failed), END))
            return
        # BinderHub's own client takes an end that comes before it has closed for a failure.
        self.stream(launch, after, id_prefix=f"{launch.id}.", linger=self.web.linger)


def asks_for_stream(accept: str) -> bool:
    """Whether an Accept header names server-sent events; `*/*` and `text/*` do not."""
    types = (part.partition(";")[0].strip().lower() for part in accept.split(","))
    return _EVENT_STREAM in types
