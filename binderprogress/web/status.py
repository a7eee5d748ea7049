"""Endpoints for operators: versions and metrics."""

from __future__ import annotations

import platform

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from .._version import __version__
from .base import ApiHandler

__all__ = ["MetricsHandler", "VersionsHandler"]


class VersionsHandler(ApiHandler):
    """GET /versions."""

    public = True

    def get(self) -> None:
        """Send the versions of binderprogress and Python."""
        self.write_json({"binderprogress": __version__, "python": platform.python_version()})


class MetricsHandler(ApiHandler):
    """GET /metrics, in Prometheus' text format."""

    def get(self) -> None:
        """Send the metrics."""
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest(self.web.metrics))
