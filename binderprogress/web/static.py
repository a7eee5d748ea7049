"""The pages' files, which are public."""

from __future__ import annotations

from tornado.web import StaticFileHandler

__all__ = ["StaticHandler"]


class StaticHandler(StaticFileHandler):
    """GET /static/{file}: also for pages elsewhere, which embed the element by its script.

    Browsers load module scripts of another site only with its leave. What the element then asks of
    the API is allowed or not by `Web.allowed_origins`.
    """

    def set_default_headers(self) -> None:
        """Set the headers of every answer."""
        self.clear_header("Server")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Cross-Origin-Resource-Policy", "cross-origin")
