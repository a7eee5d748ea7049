"""GET /api/launches/{id}/trace: where the time of a launch went."""

from __future__ import annotations

from ..core.timing.breakdown import chrome
from ..errors import BadRequestError
from .base import ApiHandler

__all__ = ["TraceHandler"]


class TraceHandler(ApiHandler):
    """/api/launches/{id}/trace."""

    def get(self, launch_id: str) -> None:
        """Say where the time went, so far or in all."""
        form = self.query("format")
        if form not in {"", "chrome"}:
            raise BadRequestError("The format is chrome, or left out.")
        launch = self.launch(launch_id)
        found = launch.trace()
        if form:
            self.set_header(
                "Content-Disposition", 'attachment; filename="binderprogress-trace.json"'
            )
            self.write_json(chrome(found))
        else:
            self.write_json(found)
