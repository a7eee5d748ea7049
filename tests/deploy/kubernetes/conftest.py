"""The manifests of all ways to run that docs/z2jh.md describes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ...support.kustomize import Manifest, composed

WAYS = {
    "alone": (),
    "replicas": ("replicas",),
    "all": ("replicas", "image-builder", "prepull", "prometheus"),
    "public": ("public",),
    "nginx": ("replicas", "ingress-nginx", "public"),
    "gateway": ("replicas", "image-builder", "gateway", "prometheus", "public"),
}


@pytest.fixture(scope="session", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """The name of one of `WAYS`."""
    return str(request.param)


@pytest.fixture(scope="session")
def manifests(way: str, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """What `kubectl apply -k` sends."""
    return composed(Path(tmp_path_factory.mktemp(way)), WAYS[way])
