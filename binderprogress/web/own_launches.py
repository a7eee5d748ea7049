"""The page that lists the user's own launches."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from ..errors import BadRequestError, StorageError
from .base import Handler
from .links import launch_link

__all__ = ["OwnLaunchesPageHandler"]


class OwnLaunchesPageHandler(Handler):
    """GET and POST /launches. The page works without JavaScript."""

    async def get(self) -> None:
        """Show the user's launches, newest first."""
        site, lang = self.caller.base_url, self.asked_language
        rows = [
            {
                "launch": launch,
                "state": launch.state(),
                "page": f"{launch_link(site, launch.spec, lang=lang)}#launch={launch.id}",
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
        self.redirect(self.page_url("launches"), status=303)
