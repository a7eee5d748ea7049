"""Static files for the browser."""

from __future__ import annotations

import re
from mimetypes import guess_type
from pathlib import Path
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

_ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""Encodings in which `js/scripts/compress.mjs` writes files beside the originals, best first."""


_HASHED = "assets/"
"""The folder of the files whose names contain a hash of their content."""

_YEAR = 365 * 86_400


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

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        """Return the path of a file. Compressed files are only sent in place of the originals."""
        if path.endswith(tuple(_ENCODINGS.values())):
            raise HTTPError(404)
        return super().get_absolute_path(root, path)

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        """Return the path of the file to send: a compressed one, if the client accepts it."""
        path = super().validate_absolute_path(root, absolute_path)
        if path is None:
            return None
        self._encoding = ""
        files = {name: Path(f"{path}{suffix}") for name, suffix in _ENCODINGS.items()}
        files = {name: file for name, file in files.items() if file.is_file()}
        if files:
            # Also for clients that accept none: a cache must not give them a compressed one.
            self.set_header("Vary", "Accept-Encoding")
        accepted = _accepted(self.request.headers.get("Accept-Encoding", ""))
        for name, file in files.items():
            if name in accepted:
                self._encoding = name
                # Each file has its own ETag, and ranges are of what is sent. Tornado notes the size
                # of the file that it checks.
                return super().validate_absolute_path(root, str(file))
        return path

    def set_extra_headers(self, path: str) -> None:
        """Say how long a browser may use a file without asking whether it has changed.

        Without this, it guesses. A file with a hash in its name never changes. Other names stay the
        same in an upgrade.
        """
        is_hashed = path.startswith(_HASHED)
        lasting = f"public, max-age={_YEAR}, immutable"
        self.set_header("Cache-Control", lasting if is_hashed else "no-cache")

    def get_content_type(self) -> str:
        """Return the type of the original. All texts are UTF-8, whatever a page's own encoding."""
        original = str(self.absolute_path)
        if self._encoding:
            self.set_header("Content-Encoding", self._encoding)
            original = original.removesuffix(_ENCODINGS[self._encoding])
        found = guess_type(original)[0] or "application/octet-stream"
        is_text = found.startswith("text/") or found.endswith("/javascript")
        return f"{found}; charset=utf-8" if is_text else found

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


def _accepted(header: str) -> set[str]:
    """Return the encodings that a client names (RFC 9110, section 12.5.3), except with ``q=0``."""
    accepted = set()
    for item in header.lower().split(","):
        name, _, parameters = item.partition(";")
        if not re.fullmatch(r"\s*q\s*=\s*0(?:\.0*)?\s*", parameters):
            accepted.add(name.strip())
    return accepted
