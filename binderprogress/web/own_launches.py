"""The page that lists the user's own launches."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from ..errors import BadRequestError, StorageError
from .api import launch_links
from .base import Handler

__all__ = ["OwnLaunchesPageHandler"]


class OwnLaunchesPageHandler(Handler):
    """GET and POST /launches. The page works without JavaScript."""

    async def get(self) -> None:
        """Show the user's launches, newest first."""
        site = self.caller.base_url
        rows = [
            {
                "launch": launch,
                "state": launch.state(),
                "page": launch_links(launch, site).page_url,
                "started": datetime.fromtimestamp(launch.created, UTC),
            }
            for launch in await self.web.launches.of(self.user)
        ]
        self.finish(self.page("launches.html", rows=rows, xsrf=self.xsrf_token.decode()))

    async def post(self) -> None:
        """Cancel a launch, and redirect to the list."""
        launch_id = self.get_body_argument("cancel", "")
        if not launch_id:
            raise BadRequestError("The form does not say which launch to cancel.")
        launch = await self.launch(launch_id)
        # The list shows it as cancelled once that is stored.
        with suppress(StorageError):
            await self.web.launches.cancel_anywhere(launch)
        # A redirect, so that reloading the page does not send the form again.
        self.redirect(f"{self.web.base_url}launches", status=303)
