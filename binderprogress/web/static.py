"""The pages' files, which are public."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tornado.web import HTTPError, StaticFileHandler

from .launch_ids import Discreet
from .origins import scheme_of
from .security_headers import IMAGE_POLICY, set_security_headers

if TYPE_CHECKING:
    from .config import Web

__all__ = ["StaticHandler"]

_NAME = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)*", re.ASCII)
"""What files of ours are called, with the folders they are in."""


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

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """Return the name of a file; one that is not UTF-8 is no name."""
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise HTTPError(404) from error

    async def get(self, path: str, include_body: bool = True) -> None:
        """Send a file; of all that is none, say that it is not there."""
        # Attack: for a null byte the system's functions raise ValueError, which is a 500 with a
        # traceback in the log; for a folder, or a path out of ours, Tornado says 403.
        if not _NAME.fullmatch(path):
            raise HTTPError(404)
        try:
            await super().get(path, include_body)
        except HTTPError as error:
            raise HTTPError(404 if error.status_code == 403 else error.status_code) from error
