"""The pages' files, which are public."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tornado.web import StaticFileHandler

from .launch_ids import Discreet
from .origins import scheme_of
from .security_headers import IMAGE_POLICY, set_security_headers

if TYPE_CHECKING:
    from .config import Web

__all__ = ["StaticHandler"]


class StaticHandler(Discreet, StaticFileHandler):
    """GET /static/{file}: also for pages elsewhere, which embed the element by its script.

    Browsers load module scripts of another site only with its leave. What the element then asks of
    the API is allowed or not by `Web.allowed_origins`.
    """

    def set_default_headers(self) -> None:
        """Set the headers of every answer."""
        # A JupyterHub that serves these files for its own page has no settings of ours.
        web: Web | None = self.settings.get("binderprogress")
        scheme = scheme_of(self.request, trust_proxy=web is not None and web.trust_proxy)
        hsts_max_age = web.hsts_max_age if web is not None else 0
        set_security_headers(self, scheme=scheme, hsts_max_age=hsts_max_age)
        self.set_header("Content-Security-Policy", IMAGE_POLICY)
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Cross-Origin-Resource-Policy", "cross-origin")
