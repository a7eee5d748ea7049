"""Images that are pulled in advance: ``/api/prepull``, the page ``/prepull``, and metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from ..core.kubernetes.prepull_report import PrepullReport
from ..errors import NotFoundError, RefusedError
from .base import ApiHandler, Handler

__all__ = ["PrepullCollector", "PrepullHandler", "PrepullPageHandler"]

_OUTCOMES = ("pulled", "failed", "given_up")
_OBSTACLES = (
    "",
    "cordoned",
    "disk-pressure",
    "failed-lately",
    "leaving",
    "not-ready",
    "tainted",
    "user-pull",
)
"""What may hinder pulls to a node. The catalogs have a text for each."""


class PrepullCollector(Collector):
    """Metrics of images that are pulled in advance.

    Parameters
    ----------
    report : callable
        Returns the current state.
    """

    def __init__(self, report: Callable[[], PrepullReport]) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        """Return the current metrics."""
        report = self._report()
        yield GaugeMetricFamily(
            "binderprogress_prepull_leader",
            "Whether this replica pulls images in advance, and no other one",
            value=report.is_leader,
        )
        yield GaugeMetricFamily(
            "binderprogress_prepull_pulls_running",
            "Pulls in advance that have not ended",
            value=report.running,
        )
        ended = CounterMetricFamily(
            "binderprogress_prepull_pulls_ended",
            "Pulls in advance whose end this replica has seen",
            labels=["outcome"],
        )
        for outcome in _OUTCOMES:
            ended.add_metric([outcome.replace("_", "-")], getattr(report.totals, outcome))
        yield ended
        pulled = CounterMetricFamily(
            "binderprogress_prepull_pulled_bytes", "Size of the images that were pulled in advance"
        )
        pulled.add_metric([], report.totals.pulled_bytes)
        yield pulled
        nodes = GaugeMetricFamily(
            "binderprogress_prepull_nodes", "Nodes by what hinders pulls there", labels=["obstacle"]
        )
        hindered = Counter(node.obstacle for node in report.nodes)
        for obstacle in _OBSTACLES:
            nodes.add_metric([obstacle], hindered[obstacle])
        yield nodes
        images = GaugeMetricFamily(
            "binderprogress_prepull_images",
            "Popular images, counted once for each node that has them or is to get them",
            labels=["state"],
        )
        images.add_metric(["present"], sum(node.present for node in report.nodes))
        images.add_metric(["missing"], sum(node.missing for node in report.nodes))
        yield images


def _report(handler: Handler) -> PrepullReport:
    """Return the current state.

    Raises
    ------
    NotFoundError
        If no images are pulled in advance.
    RefusedError
        If repositories, which the names of images contain, may not be named.
    """
    if handler.web.prepull is None:
        raise NotFoundError("This server pulls no images in advance.")
    if not handler.web.name_repositories:
        raise RefusedError(
            "This server does not show the names of repositories. Its administrator can "
            "change that with c.Web.name_repositories."
        )
    return handler.web.prepull()


class PrepullHandler(ApiHandler):
    """GET /api/prepull."""

    def get(self) -> None:
        """Send the state of nodes and images."""
        self.write_json(_report(self))


class PrepullPageHandler(Handler):
    """GET /prepull: a page that shows the same."""

    def get(self) -> None:
        """Show the page."""
        report = _report(self)
        self.set_header("Cache-Control", "no-store")
        self.finish(self.page("prepull.html", report=report))
