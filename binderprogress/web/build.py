"""BinderHub's endpoint, kept for its clients: one GET starts a launch and streams it.

Here it resumes. The ids of its events name the launch too, so that a client that connects again
with the id of the last one (every `EventSource` does) goes on where it stopped.
"""

from __future__ import annotations

import msgspec

from ..core import specs
from ..core.phases import Phase
from ..errors import BadRequestError, NotFoundError
from .streams import StreamHandler, position

__all__ = ["BuildHandler"]


class BuildHandler(StreamHandler):
    """GET /build/{provider}/{spec}."""

    async def get(self, _: str) -> None:
        """Start a launch and stream it, or go on with one that this client has begun."""
        launches = self.web.launches
        last = self.request.headers.get("Last-Event-ID", "")
        try:
            if last:
                launch_id, _, number = last.rpartition(".")
                launch, after = launches.get(launch_id), position(number)
            else:
                # As it stands in the address: quoted slashes are part of a component.
                spec = specs.parse(self.request.path.partition("/build/")[2])
                self.web.limiter.take(self.caller.ip)
                launch, after = launches.start(spec, self.caller), 0
        except (BadRequestError, NotFoundError) as error:
            # BinderHub's clients know only what comes as an event.
            self.start_stream()
            failed = {"phase": Phase.FAILED, "message": f"{error}\n"}
            self.finish(b"data: %b\n\n" % msgspec.json.encode(failed))
            return
        await self.stream(launch, after, id_prefix=f"{launch.id}.")
