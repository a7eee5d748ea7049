"""The page with one's own launches, where it is known who asks."""

from __future__ import annotations

from datetime import UTC, datetime

from ..errors import BadRequestError
from .api import links
from .base import Handler

__all__ = ["OwnLaunchesPageHandler"]


class OwnLaunchesPageHandler(Handler):
    """/launches: it works without a script, by links and forms."""

    def get(self) -> None:
        """Show the launches of who asks, the newest first."""
        site = self.caller.base_url
        rows = [
            {
                "launch": launch,
                "state": launch.state(),
                "page": links(launch, site).page_url,
                "started": datetime.fromtimestamp(launch.created, UTC),
            }
            for launch in self.web.launches.of(self.user)
        ]
        self.finish(self.web.render("launches.html", rows=rows, xsrf=self.xsrf_token.decode()))

    def post(self) -> None:
        """Cancel one of them, then show the list again."""
        launch_id = self.get_body_argument("cancel", "")
        if not launch_id:
            raise BadRequestError("This form cancels a launch: it says which.")
        self.web.launches.cancel(self.launch(launch_id))
        # Seen by reload: the form is not to be sent again by it.
        self.redirect(f"{self.web.base_url}launches", status=303)
