"""Pages for people."""

from __future__ import annotations

from ..core import specs
from ..errors import NotFoundError
from .base import Handler

__all__ = ["FrontHandler", "LaunchPageHandler", "NotFoundHandler"]


class FrontHandler(Handler):
    """GET /."""

    def get(self) -> None:
        """Show what can be launched."""
        self.finish(self.web.render("index.html", **self.web.front_page))


class LaunchPageHandler(Handler):
    """GET /v2/{provider}/{spec}."""

    def get(self, _: str) -> None:
        """Show the page that launches it, or goes on watching what its address names."""
        spec = specs.parse(self.request.path.removeprefix(f"{self.web.base_url}v2/"))
        urlpath = self.get_query_argument("urlpath", "")
        for argument, prefix in (("labpath", "lab/tree/"), ("filepath", "tree/")):
            path = self.get_query_argument(argument, "")
            if path and not urlpath:
                urlpath = prefix + path.lstrip("/")
        self.finish(
            self.web.render(
                "launch.html",
                spec=str(spec),
                title=spec.title,
                repo_url=spec.repo_url,
                ref=spec.ref,
                provider=specs.PROVIDERS[spec.provider],
                urlpath=urlpath,
                ask=self.web.confirm_foreign and self._is_foreign(),
            )
        )

    def _is_foreign(self) -> bool:
        """Whether a page of another site led here; browsers say so, and what one typed is none."""
        return self.request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}


class NotFoundHandler(Handler):
    """Everything else."""

    def prepare(self) -> None:
        """Say that there is nothing."""
        super().prepare()
        raise NotFoundError("There is nothing at this address.")
