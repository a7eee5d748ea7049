"""Renders the real charts of z2jh and BinderHub with the real Helm, without a cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

Z2JH = os.environ.get("BINDERPROGRESS_Z2JH_SOURCE", "")
SERVICE = os.environ.get("BINDERPROGRESS_BINDERHUB_SERVICE_SOURCE", "")
BINDERHUB = os.environ.get("BINDERPROGRESS_BINDERHUB_SOURCE", "")
TAG = "1.2.3"


def z2jh_chart(folder: Path) -> Path:
    """Copy z2jh's chart, and finish it as its release does: version, image tags and schema."""
    if not Z2JH:
        pytest.skip("BINDERPROGRESS_Z2JH_SOURCE names no checkout of zero-to-jupyterhub-k8s")
    source = folder / "z2jh"
    shutil.copytree(Z2JH, source, ignore=shutil.ignore_patterns(".git"))
    generate = [sys.executable, str(source / "tools/generate-json-schema.py")]
    subprocess.run(generate, check=True, stdout=subprocess.DEVNULL, timeout=60)
    return _released(source / "jupyterhub")


def binderhub_chart(folder: Path, z2jh: Path) -> Path:
    """Copy BinderHub's chart, with that of z2jh as its dependency."""
    if not BINDERHUB:
        pytest.skip("BINDERPROGRESS_BINDERHUB_SOURCE names no checkout of BinderHub")
    chart = folder / "binderhub"
    shutil.copytree(Path(BINDERHUB) / "helm-chart/binderhub", chart)
    description = yaml.safe_load((chart / "Chart.yaml").read_text())
    (dependency,) = description["dependencies"]
    inner = chart / "charts/jupyterhub"
    shutil.copytree(z2jh, inner)
    file = inner / "Chart.yaml"
    version = yaml.safe_load(file.read_text())["version"]
    file.write_text(file.read_text().replace(version, dependency["version"]))
    return _released(chart)


def service_chart(folder: Path) -> Path:
    """Copy the chart binderhub-service."""
    if not SERVICE:
        pytest.skip("BINDERPROGRESS_BINDERHUB_SERVICE_SOURCE names no checkout")
    source = folder / "binderhub-service"
    shutil.copytree(SERVICE, source, ignore=shutil.ignore_patterns(".git"))
    generate = [sys.executable, str(source / "tools/generate-json-schema.py")]
    subprocess.run(generate, check=True, stdout=subprocess.DEVNULL, timeout=60)
    return _released(source / "binderhub-service")


def _released(chart: Path) -> Path:
    for name, old in (
        ("Chart.yaml", "0.0.1-set.by.chartpress"),
        ("values.yaml", "set-by-chartpress"),
    ):
        file = chart / name
        file.write_text(file.read_text().replace(old, TAG))
    return chart


def rendered(chart: Path, values: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the manifests of a release, whose namespace has its name.

    The values have to fit the schema of the chart.
    """
    # It is as large as all other packages together.
    helm = pytest.importorskip("helm_python.chart", reason="helm-python-sdk is not installed")
    loaded = helm.Chart.load(str(chart))
    loaded.validate_schema(values)
    manifests = []
    for path, text in loaded.render(values, name=name, namespace=name).items():
        if path.endswith((".yaml", ".yml")):
            manifests += [each for each in yaml.safe_load_all(text) if each]
    for manifest in manifests:
        # As `helm install --namespace` does.
        manifest["metadata"].setdefault("namespace", name)
        if manifest["apiVersion"] == "policy/v1beta1":
            # Without a cluster, Helm knows of no newer version.
            manifest["apiVersion"] = "policy/v1"
    return manifests
