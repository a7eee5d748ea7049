"""The access log."""

from __future__ import annotations

from tornado.log import access_log
from tornado.web import RequestHandler


def log_request(handler: RequestHandler) -> None:
    access_log.info("%d %s", handler.get_status(), handler.request.uri)
