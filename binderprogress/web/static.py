"""Static files for the browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tornado.web import HTTPError, StaticFileHandler

from .launch_ids import RedactedLogHandler
from .origins import scheme_of
from .security_headers import IMAGE_POLICY, set_security_headers

if TYPE_CHECKING:
    from .config import Web

__all__ = ["StaticHandler"]

_NAME = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)*", re.ASCII)
"""Paths of static files."""


class StaticHandler(RedactedLogHandler, StaticFileHandler):
    """GET /static/{file}.

    Pages of all sites may load these files, because they may embed the element. Whether the element
    may then use the API is decided by `Web.allowed_origins`.
    """

    def set_default_headers(self) -> None:
        """Set the headers of all responses."""
        # A JupyterHub that serves these files for its spawn page has no `Web`.
        web: Web | None = self.settings.get("binderprogress")
        scheme = scheme_of(self.request, trust_proxy=web is not None and web.trust_proxy)
        hsts_max_age = web.hsts_max_age if web is not None else 0
        set_security_headers(self, scheme=scheme, hsts_max_age=hsts_max_age)
        self.set_header("Content-Security-Policy", IMAGE_POLICY)
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Cross-Origin-Resource-Policy", "cross-origin")

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """Decode a path. If it is not UTF-8, no such file exists."""
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise HTTPError(404) from error

    async def get(self, path: str, include_body: bool = True) -> None:
        """Send a file, or 404 for everything that is not one."""
        # Attack: a null byte makes file functions raise ValueError, which would be a 500 with a
        # traceback in the log. For folders and paths outside of its root, Tornado sends 403.
        if not _NAME.fullmatch(path):
            raise HTTPError(404)
        try:
            await super().get(path, include_body)
        except HTTPError as error:
            raise HTTPError(404 if error.status_code == 403 else error.status_code) from error
