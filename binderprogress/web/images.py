"""Whether the environment of a repository is built already."""

from __future__ import annotations

from .base import ApiHandler

__all__ = ["ImageHandler"]


class ImageHandler(ApiHandler):
    """GET /api/images/{provider}/{spec}."""

    async def get(self, _: str) -> None:
        """Send whether it is built. It counts as a launch for the rate limit."""
        # Not decoded: a percent-encoded slash is part of a component.
        text = self.request.path.removeprefix(f"{self.web.base_url}api/images/")
        spec = self.read_spec(text)
        await self.admit()
        self.write_json(await self.web.launches.find_image(spec))
