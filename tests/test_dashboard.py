"""The dashboard for Grafana, and the page about it, show numbers that there are."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from binderprogress.backends.base import PairedBackend
from binderprogress.backends.binderhub.upstreams import Upstream
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.kubernetes.prepull_report import PrepullReport
from binderprogress.launches import LaunchManager
from binderprogress.web.metrics import (
    BuildPodCollector,
    CleanupCollector,
    LaunchCollector,
    ReplicaCollector,
    StandbyCollector,
    UpstreamCollector,
    registry,
)
from binderprogress.web.prepull import PrepullCollector

from .support.replay import PlayedBuilder, PlayedLauncher

ROOT = Path(__file__).parents[1]
DASHBOARD: dict[str, Any] = json.loads(
    (ROOT / "share/binderprogress/grafana/dashboard.json").read_text()
)
SOURCE = {
    "type": "object",
    "properties": {"type": {"const": "prometheus"}, "uid": {"const": "${datasource}"}},
    "required": ["type", "uid"],
}
# Grafana's dashboard JSON, as far as it is used.
SCHEMA = {
    "type": "object",
    "required": ["title", "uid", "schemaVersion", "panels", "templating", "time"],
    "properties": {
        "id": False,  # the one that imports it gives the number
        "title": {"type": "string", "minLength": 1},
        "uid": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,40}$"},
        "schemaVersion": {"type": "integer", "minimum": 36},
        "graphTooltip": {"enum": [0, 1, 2]},
        "panels": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "title", "type", "datasource", "gridPos", "targets"],
                "properties": {
                    "id": {"type": "integer", "minimum": 1},
                    "title": {"type": "string", "minLength": 1},
                    "type": {"enum": ["timeseries", "stat"]},
                    "datasource": SOURCE,
                    "gridPos": {
                        "type": "object",
                        "required": ["x", "y", "w", "h"],
                        "additionalProperties": {"type": "integer", "minimum": 0},
                    },
                    "targets": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["refId", "datasource", "expr"],
                            "properties": {
                                "refId": {"type": "string", "pattern": "^[A-Z]$"},
                                "datasource": SOURCE,
                                "expr": {"type": "string", "minLength": 1},
                            },
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture(scope="module")
def metrics() -> CollectorRegistry:
    """All numbers that a server may have."""
    launches = LaunchManager(
        channels=MemoryChannelStore(), backend=PairedBackend(PlayedBuilder(), PlayedLauncher())
    )
    hubs = UpstreamCollector([Upstream("https://binder.example.org/")])
    replicas = ReplicaCollector(launches.replicas)
    return registry(
        LaunchCollector(launches),
        replicas,
        hubs,
        BuildPodCollector({}),
        CleanupCollector(lambda: 0),
        PrepullCollector(lambda: PrepullReport(budget=0, max_pulls=1)),
        StandbyCollector(launches.standby),
    )


def samples(metrics: CollectorRegistry) -> dict[str, set[str]]:
    """Return the names of all samples, with their labels."""
    return {
        sample.name: set(sample.labels) for family in metrics.collect() for sample in family.samples
    }


def expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_it_is_a_dashboard() -> None:
    Draft202012Validator(SCHEMA).validate(DASHBOARD)
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        ids = [target["refId"] for target in panel["targets"]]
        assert len(set(ids)) == len(ids)


def test_panels_fit_side_by_side() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below


def test_every_number_in_it_is_there(metrics: CollectorRegistry) -> None:
    there = samples(metrics)
    used = set()
    for expression in expressions():
        names = re.findall(r"\b(?:binderprogress|process|python)_\w+", expression)
        assert names, expression
        for name in names:
            assert name in there, expression
        labels = set(re.findall(r'(\w+)=~?"', expression)) - {"job"}
        for by in re.findall(r"by \(([^)]*)\)", expression):
            labels |= {label.strip() for label in by.split(",")}
        assert labels <= set().union(*(there[name] for name in names)), expression
        used |= set(names)
    # Nothing of ours is left out, either.
    ours = {re.sub("_(bucket|sum|count)$", "", name) for name in there if name[0] == "b"}
    assert ours == {re.sub("_(bucket|sum|count)$", "", name) for name in used if name[0] == "b"}


def test_values_of_labels_are_there(metrics: CollectorRegistry) -> None:
    values = {
        (sample.name, label, value)
        for family in metrics.collect()
        for sample in family.samples
        for label, value in sample.labels.items()
    }
    checked = 0
    for expression in expressions():
        for name, inside in re.findall(r"(binderprogress_\w+){([^}]*)}", expression):
            for label, value in re.findall(r'(\w+)=~?"([^"$]+)"', inside):
                for one in value.split("|"):
                    assert (name, label, one) in values, expression
                    checked += 1
    assert checked > 8


def test_the_page_has_all_numbers(metrics: CollectorRegistry) -> None:
    page = (ROOT / "docs/observability.md").read_text()
    said = {
        name: (kind, set(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in re.findall(
            r"^\| `(binderprogress_\w+)` \| (\w+) \|([^|]*)\|", page, re.MULTILINE
        )
    }
    there = {
        family.name + "_total" * (family.type == "counter"): (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
        )
        for family in text_string_to_metric_families(generate_latest(metrics).decode())
        if family.name.startswith("binderprogress_")
    }
    assert said == there


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_has_nothing_to_say(metrics: CollectorRegistry) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=generate_latest(metrics),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
