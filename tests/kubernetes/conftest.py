"""A real Kubernetes: its control plane, and what a test needs of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.cluster import Cluster, running_cluster
from ..support.cluster_programs import programs


@pytest.fixture(scope="session")
def programs_folder() -> Path:
    """The folder with the programs of Kubernetes."""
    folder = programs()
    if folder is None:
        pytest.skip("Kubernetes is not built; on Debian 12, `make kubernetes` builds it")
    return folder


@pytest.fixture(scope="session")
def cluster(programs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane. Its start takes ten seconds or more, so all tests share it."""
    with running_cluster(programs_folder, tmp_path_factory.mktemp("cluster")) as running:
        yield running
