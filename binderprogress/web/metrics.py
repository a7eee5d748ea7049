"""Numbers for Prometheus.

The naming rule is ``binderprogress_<things>[_<what of them>][_<unit>][_total]``: the things are in
the plural, the unit is a base unit (seconds, bytes), and ``_total`` ends what only grows. Labels
have values from fixed lists only, and each of their series is there from the start: a dashboard
sees zero, not nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, GCCollector, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ..backends.binderhub.upstreams import Upstream
from ..core.log.reasons import REASONS
from ..core.phases import TERMINAL, Phase
from ..core.timing.breakdown import Kind, Trace
from ..launches import Launch, LaunchManager

__all__ = ["BUCKETS", "LaunchCollector", "UpstreamCollector", "registry"]

BUCKETS = (0.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 2400, 3600)
"""Seconds: a server that is there at once takes one or two, a build may take an hour."""

_ENDS = (Phase.READY, Phase.FAILED, Phase.CANCELLED)
_UNDER_WAY = [phase for phase in Phase if phase not in TERMINAL]
# A moment; nothing takes time in it.
_TIMED = [phase for phase in _UNDER_WAY if phase is not Phase.BUILT]


class LaunchCollector(Collector):
    """Numbers of launches: what goes on is read when it is asked for, what is over is counted.

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
            "What launches took from their start to their end",
            {"outcome": _ENDS},
        )
        self._phase_seconds = _histogram(
            "binderprogress_phases_duration_seconds",
            "What the phases of launches that became ready took; cold: with a build",
            {"phase": _TIMED, "start": ["cold", "warm"]},
        )
        self._kind_seconds = _histogram(
            "binderprogress_kinds_duration_seconds",
            "What the time of launches was spent on, of each kind that there was in one",
            {"kind": list(Kind)},
        )
        launches.over.append(self._count)

    def collect(self) -> Iterator[Metric]:
        """Return the numbers as they are now."""
        launches = self._launches
        under_way = launches.under_way()
        yield _gauge("binderprogress_launches_running", "Launches in progress", launches.running)
        yield _gauge("binderprogress_builds_running", "Builds in progress", launches.building)
        phases = Counter(launch.last.phase for launch in under_way)
        waiting = GaugeMetricFamily(
            "binderprogress_phases_running", "Launches that are in a phase", labels=["phase"]
        )
        for phase in _UNDER_WAY:
            waiting.add_metric([phase], phases[phase])
        yield waiting
        yield _gauge(
            "binderprogress_viewers_open", "Connections that watch a launch", launches.viewers
        )
        budgets = launches.budgets
        yield _gauge(
            "binderprogress_launches_retained",
            "Launches that are over and can be looked at",
            len(budgets),
        )
        yield _gauge(
            "binderprogress_events_retained_bytes",
            "Memory that launches and their events take, of LaunchManager.memory_budget",
            budgets.memory.meter.used,
        )
        yield _gauge(
            "binderprogress_logs_retained_bytes",
            "Disk that full logs take, of LaunchManager.disk_budget",
            budgets.disk.meter.used,
        )
        ended = CounterMetricFamily(
            "binderprogress_launches_ended", "Launches that came to an end", labels=["phase"]
        )
        for phase in _ENDS:
            ended.add_metric([phase], launches.ended[phase])
        yield ended
        failures = CounterMetricFamily(
            "binderprogress_launches_failed", "Launches that failed, by why", labels=["reason"]
        )
        for reason in REASONS:
            failures.add_metric([reason], self._failures[reason])
        yield failures
        events = CounterMetricFamily(
            "binderprogress_events", "Events of launches, each once for every launch that has it"
        )
        events.add_metric([], self._events + sum(launch.last.id for launch in under_way))
        yield events
        for histogram in (self._launch_seconds, self._phase_seconds, self._kind_seconds):
            yield from _without_created(histogram.collect())

    def _count(self, launch: Launch, trace: Trace) -> None:
        """Take in a launch that is over."""
        self._events += launch.last.id
        self._launch_seconds.labels(trace.phase).observe(trace.seconds)
        if trace.phase is Phase.FAILED:
            # One that is not in the list would make a series of its own.
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


class UpstreamCollector(Collector):
    """Numbers of the BinderHubs behind this server.

    Parameters
    ----------
    hubs : list of Upstream
    """

    def __init__(self, hubs: list[Upstream]) -> None:
        self._hubs = hubs

    def collect(self) -> Iterator[Metric]:
        """Return the numbers as they are now."""
        healthy = GaugeMetricFamily(
            "binderprogress_upstreams_healthy", "Whether a BinderHub is well", labels=["upstream"]
        )
        running = GaugeMetricFamily(
            "binderprogress_upstreams_running",
            "Builds and launches of ours at a BinderHub",
            labels=["upstream"],
        )
        for hub in self._hubs:
            healthy.add_metric([hub.host], hub.healthy)
            running.add_metric([hub.host], hub.running)
        yield healthy
        yield running


def registry(*collectors: Collector) -> CollectorRegistry:
    """Return what ``/metrics`` tells: these, and the numbers of this process."""
    found = CollectorRegistry()
    for collector in collectors:
        found.register(collector)
    ProcessCollector(registry=found)
    PlatformCollector(registry=found)
    GCCollector(registry=found)
    return found


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)


def _histogram(name: str, documentation: str, labels: dict[str, Iterable[str]]) -> Histogram:
    """Return a histogram with all series that it will ever have."""
    found = Histogram(name, documentation, list(labels), registry=None, buckets=BUCKETS)
    series: list[list[str]] = [[]]
    for values in labels.values():
        series = [[*before, value] for before in series for value in values]
    for values in series:
        found.labels(*values)
    return found


def _without_created(metrics: Iterable[Metric]) -> Iterator[Metric]:
    # When each series was made says nothing here, and would be one more for each of them.
    for metric in metrics:
        metric.samples = [one for one in metric.samples if not one.name.endswith("_created")]
        yield metric
