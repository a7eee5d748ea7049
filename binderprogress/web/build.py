"""BinderHub's endpoint, kept for its clients: one GET starts a launch and streams it.

Here it resumes. The ids of its events name the launch too, so that a client that connects again
with the id of the last one (every `EventSource` does) goes on where it stopped.
"""

from __future__ import annotations

import msgspec

from ..core.phases import Phase
from ..errors import BadRequestError, NotFoundError, RefusedError
from .streams import StreamHandler, position
from .viewers import END

__all__ = ["BuildHandler"]


class BuildHandler(StreamHandler):
    """GET /build/{provider}/{spec}."""

    get_acts = True

    async def prepare(self) -> None:
        """Refuse what another site's page could do without asking.

        Attack: an image, a frame or a form of any page sends a GET here without an Origin, and
        this GET starts what it names. Browsers say so in a header of their own; programs do not.
        """
        await super().prepare()
        site = self.request.headers.get("Sec-Fetch-Site", "none")
        told = "Origin" in self.request.headers or "*" in self.web.allowed_origins
        if site not in {"none", "same-origin"} and not told:
            raise RefusedError("Pages of other sites may not start a launch this way.")

    def get(self, _: str) -> None:
        """Start a launch and stream it, or go on with one that this client has begun."""
        last = self.request.headers.get("Last-Event-ID", "")
        try:
            if last:
                launch_id, _, number = last.rpartition(".")
                launch, after = self.launch(launch_id), position(number)
            else:
                # As it stands in the address: quoted slashes are part of a component.
                text = self.request.path.removeprefix(f"{self.web.base_url}build/")
                launch, after = self.start_launch(self.read_spec(text)), 0
        except (BadRequestError, NotFoundError) as error:
            # BinderHub's clients know only what comes as an event.
            self.start_stream()
            failed = {"phase": Phase.FAILED, "message": f"{error}\n"}
            self.finish(b"data: %b\n\n%b" % (msgspec.json.encode(failed), END))
            return
        # BinderHub's own client takes an end that comes before it has closed for a failure.
        self.stream(launch, after, id_prefix=f"{launch.id}.", linger=self.web.linger)
