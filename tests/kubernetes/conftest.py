"""A real Kubernetes: its control plane, and what a test needs of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..podman.podman_support import why_not as why_no_podman
from ..support.cluster import Cluster, running_cluster
from ..support.cluster_launches import Launching, launching
from ..support.cluster_node import HAS_NODE, why_no_node
from ..support.cluster_programs import programs


@pytest.fixture(scope="session")
def programs_folder() -> Path:
    """The folder with the programs of Kubernetes."""
    folder = programs()
    if folder is None:
        pytest.skip("Kubernetes is not built; on Debian 12, `make kubernetes` builds it")
    return folder


@pytest.fixture(scope="package")
def cluster(programs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane. Its start takes ten seconds or more, so all tests here share it.

    It ends with the last of them: while it does nothing, it takes a tenth of a processor.
    """
    with running_cluster(programs_folder, tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="package")
def node(programs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launching]:
    """A cluster with a real node, and everything else that a launch needs."""
    if not HAS_NODE:
        pytest.skip("it takes minutes; `make test-kubernetes` runs it")
    for reason in (why_no_node(), why_no_podman()):
        if reason is not None:
            pytest.skip(reason)
    with launching(programs_folder, tmp_path_factory.mktemp("node")) as everything:
        yield everything
