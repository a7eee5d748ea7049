"""The trace of a launch: where its time went."""

from __future__ import annotations

from ..core.timing.breakdown import chrome
from ..errors import BadRequestError
from .base import ApiHandler

__all__ = ["TraceHandler"]


class TraceHandler(ApiHandler):
    """GET /api/launches/{id}/trace."""

    async def get(self, launch_id: str) -> None:
        """Send the trace of a launch, which may still be in progress."""
        output_format = self.query("format")
        if output_format not in {"", "chrome"}:
            raise BadRequestError("`format` must be chrome, or left out.")
        launch = await self.launch(launch_id)
        await launch.replay()
        trace = launch.trace()
        if output_format:
            self.set_header(
                "Content-Disposition", 'attachment; filename="binderprogress-trace.json"'
            )
            self.write_json(chrome(trace))
        else:
            self.write_json(trace)
