"""For those who run it: versions, metrics."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from .._version import __version__
from ..core.phases import Phase
from ..launches import LaunchManager
from .base import ApiHandler

__all__ = ["LaunchCollector", "MetricsHandler", "VersionsHandler"]


class VersionsHandler(ApiHandler):
    """GET /versions."""

    public = True

    def get(self) -> None:
        """Say what runs here."""
        self.write_json({"binderprogress": __version__, "python": platform.python_version()})


class LaunchCollector(Collector):
    """Reads the numbers when they are asked for; every label is there from the start."""

    def __init__(self, launches: LaunchManager) -> None:
        self._launches = launches

    def collect(self) -> Iterator[Metric]:
        """Return the numbers as they are now."""
        running = GaugeMetricFamily("binderprogress_launches_running", "Launches in progress")
        running.add_metric([], self._launches.running)
        yield running
        building = GaugeMetricFamily("binderprogress_builds_running", "Builds in progress")
        building.add_metric([], self._launches.building)
        yield building
        ended = CounterMetricFamily(
            "binderprogress_launches_ended", "Launches that came to an end", labels=["phase"]
        )
        for phase in (Phase.READY, Phase.FAILED, Phase.CANCELLED):
            ended.add_metric([phase], self._launches.ended[phase])
        yield ended


class MetricsHandler(ApiHandler):
    """GET /metrics, in Prometheus' text format."""

    def get(self) -> None:
        """Send the numbers."""
        registry = CollectorRegistry()
        registry.register(LaunchCollector(self.web.launches))
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest(registry))
