"""Prometheus metrics.

Names follow the rule ``binderprogress_<things>[_<aspect>][_<unit>][_total]``. Things are plural,
units are base units (seconds, bytes), and counters end in ``_total``. Labels have a fixed set of
values, and all series exist from the start, so that dashboards show zero instead of no data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product

from prometheus_client import CollectorRegistry, GCCollector, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ..backends.binderhub.upstreams import Upstream
from ..core.kubernetes.leftovers import LEFTOVERS, Leftover
from ..core.log.reasons import REASONS
from ..core.phases import TERMINAL, Phase
from ..core.standby import State
from ..core.timing.breakdown import Kind, Trace
from ..launches import Launch, LaunchManager
from ..launches.replicas import Replicas
from ..launches.standby_pool import ASKED, CHANGES, StandbyPool

__all__ = [
    "BUCKETS",
    "BuildPodCollector",
    "CleanupCollector",
    "LaunchCollector",
    "ReplicaCollector",
    "StandbyCollector",
    "UpstreamCollector",
    "registry",
]

BUCKETS = (0.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 2400, 3600)
"""Seconds: a standby server takes one or two, and a build up to an hour."""

_OUTCOMES = (Phase.READY, Phase.FAILED, Phase.CANCELLED)
_IN_PROGRESS = [phase for phase in Phase if phase not in TERMINAL]
# `built` is a moment and takes no time.
_TIMED = [phase for phase in _IN_PROGRESS if phase is not Phase.BUILT]


class LaunchCollector(Collector):
    """Metrics of launches.

    Gauges are computed when the metrics are scraped. Counters and histograms are updated when a
    launch ends.

    Parameters
    ----------
    launches : LaunchManager
    """

    def __init__(self, launches: LaunchManager) -> None:
        self._launches = launches
        self._failures: Counter[str] = Counter()
        self._events = 0
        self._launch_seconds = _histogram(
            "binderprogress_launches_duration_seconds",
            "Duration of launches",
            {"outcome": _OUTCOMES},
        )
        self._phase_seconds = _histogram(
            "binderprogress_phases_duration_seconds",
            "Duration of the phases of launches that became ready; cold starts include a build",
            {"phase": _TIMED, "start": ["cold", "warm"]},
        )
        self._kind_seconds = _histogram(
            "binderprogress_kinds_duration_seconds",
            "Time that launches spent on each kind of work",
            {"kind": list(Kind)},
        )
        launches.over.append(self._count)

    def collect(self) -> Iterator[Metric]:
        """Return the current metrics."""
        launches = self._launches
        in_progress = launches.under_way()
        yield _gauge("binderprogress_launches_running", "Launches in progress", launches.running)
        yield _gauge("binderprogress_builds_running", "Builds in progress", launches.building)
        yield _gauge("binderprogress_builds_queued", "Builds that wait for others", launches.queued)
        by_phase = Counter(launch.last.phase for launch in in_progress)
        phases = GaugeMetricFamily(
            "binderprogress_phases_running", "Launches in progress by phase", labels=["phase"]
        )
        for phase in _IN_PROGRESS:
            phases.add_metric([phase], by_phase[phase])
        yield phases
        yield _gauge(
            "binderprogress_viewers_open", "Connections that watch a launch", launches.viewers
        )
        yield from self._collect_budgets()
        ended = CounterMetricFamily(
            "binderprogress_launches_ended", "Launches that have ended", labels=["phase"]
        )
        for phase in _OUTCOMES:
            ended.add_metric([phase], launches.ended[phase])
        yield ended
        failures = CounterMetricFamily(
            "binderprogress_launches_failed", "Launches that failed, by reason", labels=["reason"]
        )
        for reason in REASONS:
            failures.add_metric([reason], self._failures[reason])
        yield failures
        events = CounterMetricFamily(
            "binderprogress_events", "Events of launches; a shared build counts for each launch"
        )
        events.add_metric([], self._events + sum(launch.last.id for launch in in_progress))
        yield events
        for histogram in (self._launch_seconds, self._phase_seconds, self._kind_seconds):
            yield from _without_created(histogram.collect())

    def _collect_budgets(self) -> Iterator[Metric]:
        budgets = self._launches.budgets
        yield _gauge(
            "binderprogress_launches_retained",
            "Launches that have ended and can still be viewed",
            len(budgets),
        )
        yield _gauge(
            "binderprogress_events_retained_bytes",
            "Memory used by launches and their events; limited by LaunchManager.memory_budget",
            budgets.memory.meter.used,
        )
        yield _gauge(
            "binderprogress_logs_retained_bytes",
            "Disk space used by full logs; limited by LaunchManager.disk_budget",
            budgets.disk.meter.used,
        )

    def _count(self, launch: Launch, trace: Trace) -> None:
        """Count a launch that has ended."""
        self._events += launch.last.id
        self._launch_seconds.labels(trace.phase).observe(trace.seconds)
        if trace.phase is Phase.FAILED:
            # An unlisted reason would create another series.
            reason = trace.reason if trace.reason in REASONS else "unknown"
            self._failures[reason] += 1
        if trace.phase is Phase.READY:
            start = "cold" if trace.cold else "warm"
            for phase, seconds in trace.phase_seconds().items():
                if phase in _TIMED:
                    self._phase_seconds.labels(phase, start).observe(seconds)
        for kind, seconds in trace.totals.items():
            if seconds:
                self._kind_seconds.labels(kind).observe(seconds)


class ReplicaCollector(Collector):
    """The name of this replica, and how many there are.

    Parameters
    ----------
    replicas : Replicas
    """

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    def collect(self) -> Iterator[Metric]:
        """Return the current metrics."""
        info = InfoMetricFamily("binderprogress_replica", "The name of this replica")
        info.add_metric([], {"replica": self._replicas.name})
        yield info
        yield _gauge("binderprogress_replicas", "Replicas that are alive", self._replicas.count)


class UpstreamCollector(Collector):
    """Metrics of the upstream BinderHubs.

    Parameters
    ----------
    hubs : list of Upstream
    """

    def __init__(self, hubs: list[Upstream]) -> None:
        self._hubs = hubs

    def collect(self) -> Iterator[Metric]:
        """Return the current metrics."""
        healthy = GaugeMetricFamily(
            "binderprogress_upstreams_healthy",
            "Whether a BinderHub is healthy",
            labels=["upstream"],
        )
        running = GaugeMetricFamily(
            "binderprogress_upstreams_running",
            "Builds and launches of this server in progress at a BinderHub",
            labels=["upstream"],
        )
        for hub in self._hubs:
            healthy.add_metric([hub.host], hub.healthy)
            running.add_metric([hub.host], hub.running)
        yield healthy
        yield running


class CleanupCollector(Collector):
    """The number of servers that are still to be removed from a JupyterHub.

    Parameters
    ----------
    count : callable
        Returns the number.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count

    def collect(self) -> Iterator[Metric]:
        """Return the current metric."""
        yield _gauge(
            "binderprogress_cleanups_outstanding",
            "Servers that are still to be removed from JupyterHub, because that failed",
            self._count(),
        )


class BuildPodCollector(Collector):
    """The number of build pods that were removed because nobody needed them any more.

    Parameters
    ----------
    removed : mapping
        The numbers by reason.
    """

    def __init__(self, removed: Mapping[Leftover, int]) -> None:
        self._removed = removed

    def collect(self) -> Iterator[Metric]:
        """Return the current metric."""
        removed = CounterMetricFamily(
            "binderprogress_build_pods_removed",
            "Build pods that were removed because nobody needed them any more",
            labels=["reason"],
        )
        for reason in LEFTOVERS:
            removed.add_metric([reason], self._removed.get(reason, 0))
        yield removed


class StandbyCollector(Collector):
    """The servers that stand ready, and what became of them.

    Parameters
    ----------
    pool : StandbyPool
    """

    def __init__(self, pool: StandbyPool) -> None:
        self._pool = pool

    def collect(self) -> Iterator[Metric]:
        """Return the current metrics."""
        servers = GaugeMetricFamily(
            "binderprogress_standby_servers",
            "Servers that were started ahead, in this replica",
            labels=["state"],
        )
        states = self._pool.states()
        for state in State:
            servers.add_metric([state], states[state])
        yield servers
        launches = CounterMetricFamily(
            "binderprogress_standby_launches",
            "Launches for whose environment servers are to stand ready",
            labels=["outcome"],
        )
        changes = CounterMetricFamily(
            "binderprogress_standby_changes",
            "Servers that were started ahead, and what became of those that nobody took",
            labels=["change"],
        )
        for family, names in ((launches, ASKED), (changes, CHANGES)):
            for name in names:
                family.add_metric([name], self._pool.counts[name])
            yield family


def registry(*collectors: Collector) -> CollectorRegistry:
    """Return a registry with these collectors, and those of the Python process."""
    collector_registry = CollectorRegistry()
    for collector in collectors:
        collector_registry.register(collector)
    ProcessCollector(registry=collector_registry)
    PlatformCollector(registry=collector_registry)
    GCCollector(registry=collector_registry)
    return collector_registry


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)


def _histogram(name: str, documentation: str, labels: dict[str, Iterable[str]]) -> Histogram:
    """Return a histogram in which the series of all label values exist."""
    histogram = Histogram(name, documentation, list(labels), registry=None, buckets=BUCKETS)
    for values in product(*labels.values()):
        histogram.labels(*values)
    return histogram


def _without_created(metrics: Iterable[Metric]) -> Iterator[Metric]:
    # The creation times would double the number of series, and all are the same.
    for metric in metrics:
        metric.samples = [
            sample for sample in metric.samples if not sample.name.endswith("_created")
        ]
        yield metric
